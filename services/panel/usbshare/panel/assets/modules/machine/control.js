// Who controls the machine, and how control changes hands: never without a click that says so.

import { texts } from "../../texts/en.js";
import { confirm } from "../dialogs.js";
import { h, setHidden, setText } from "../dom.js";
import { clock, people } from "../format.js";
import { holderOf } from "../machine_state.js";
import { notice } from "../notices.js";
import { machineKey } from "../state.js";
import { button, card, note } from "../views/parts.js";

const t = texts.control;

export function controlCard({ actions, key }) {
  const machine = machineKey(key);
  const who = h("p", {});
  const rights = h("p", { class: "reason" });
  const take = button(t.take, () => actions.run({ takeControl: { machine } }));
  const release = button(t.release, () => actions.run({ releaseControl: { machine } }));
  const ask = button(t.ask, async () => {
    const answer = await actions.run({ requestControl: { machine } });
    if (answer) notice(answer.requestControl?.told ? t.told : t.notTold);
  });
  const seize = button(t.seize, async () => {
    if (await confirm(t.seize, t.seizeSure(who.textContent), t.seizeYes, { isDanger: true })) {
      actions.run({ takeControl: { machine, fromHolder: true } });
    }
  }, { kind: "danger" });
  const askedText = h("p", {});
  const asked = note(
    "",
    h("strong", {}, t.asked),
    askedText,
    h("div", { class: "row" }, button(t.handOver, () => answer(true), { kind: "primary" }), button(t.keep, () => answer(false))),
  );
  const element = card(t.title, asked, who, rights, h("div", { class: "row" }, take, release, ask, seize));

  function answer(handsOver) {
    actions.run({ answerControlRequest: { machine, handsOver } });
    actions.store.update((state) => state.asked.delete(key));
  }

  /** Shows who asks; not above the jog pad, which it would move under the finger. */
  function showAsked(request) {
    setHidden(asked, !request);
    if (request) setText(askedText, t.askedBy(people(request.who), clock(request.time)));
  }

  function update(current, all) {
    showAsked(current.controlState === "CONTROL_STATE_OURS" ? all.asked.get(key) : null);
    const state = current.controlState;
    const holder = holderOf(current);
    const since = current.port?.holder?.openTime;
    setText(who, holder ? (since ? t.since(holder, clock(since)) : holder) : t.nobody);
    const isAllowed = Boolean(current.control?.isAllowed);
    setText(rights, rightsOf(current));
    setHidden(take, state === "CONTROL_STATE_OURS" || state === "CONTROL_STATE_OTHER");
    setHidden(release, state !== "CONTROL_STATE_OURS");
    setHidden(ask, state !== "CONTROL_STATE_OTHER");
    setHidden(seize, state !== "CONTROL_STATE_OTHER");
    take.disabled = ask.disabled = !isAllowed || state === "CONTROL_STATE_OPENING";
    seize.disabled = !current.take?.isAllowed;
    seize.title = seize.disabled ? current.take?.reason ?? "" : "";
  }
  return { element, update };
}

function rightsOf(machine) {
  const { control, stop } = machine;
  if (control?.isAllowed) return control.needsCode ? texts.rights.needsCode : t.mayAll;
  if (stop?.isAllowed) return t.mayStop(control?.reason || "");
  return stop?.reason || texts.rights.noStop;
}
