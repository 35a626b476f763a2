// Held, latched, in alarm: why, and the one button that lets it go on.

import { texts } from "../../texts/en.js";
import { h, setAttribute, setHidden, setText } from "../dom.js";
import { isAlarmed, isAsleep } from "../machine_state.js";
import { bytes, clock, nameOf, people } from "../format.js";
import { button, note } from "../views/parts.js";

const t = texts.condition;
const ENDED_BY_WORK = new Set(["NEXT_STEP_HOME", "NEXT_STEP_UNLOCK"]);
const ITSELF = "the machine"; // as serial-svc says who has caused it

export function conditionNotes({ actions, key }) {
  const title = h("strong", {});
  const text = h("p", {});
  const alarm = h("p", {});
  const what = h("p", { class: "small" });
  const go = button("", () => onGo(), { kind: "primary" });
  go.className = "button primary";
  const goText = h("span", {});
  go.append(goText);
  const reason = h("span", { class: "reason" });
  const held = note("warn", title, text, alarm, h("div", { class: "row" }, go, reason), what);
  held.setAttribute("role", "status");

  const element = h("div", { class: "stack" }, held);

  let isGoing = false;

  async function onGo() {
    isGoing = go.disabled = true;
    await actions.goOn(key);
    isGoing = go.disabled = false;
  }

  function update(machine) {
    const step = machine.nextStep;
    const isHeld = Boolean(machine.condition || machine.firmwareMessage || isAsleep(machine));
    setHidden(held, !isHeld);
    setAttribute(held, "data-tone", machine.port?.latched || isAlarmed(machine) ? "danger" : "warn");
    setText(title, titleOf(machine));
    setText(text, whyOf(machine));
    setHidden(text, !machine.condition);
    setText(alarm, machine.firmwareMessage ?? "");
    setHidden(alarm, !machine.firmwareMessage);
    const label = t.step[step] ?? "";
    setHidden(go, !label);
    setText(goText, label);
    const needsControl = !machine.control?.isAllowed;
    setAttribute(go, "aria-disabled", null);
    const isUnderWay = Boolean(machine.activity) && ENDED_BY_WORK.has(step);
    go.disabled = needsControl || isUnderWay || isGoing;
    setText(reason, needsControl && label ? machine.control?.reason || texts.rights.noControl : isUnderWay ? texts.refusal.doing(machine.activity) : "");
    setText(what, t.whatItDoes[step] ?? "");
    setHidden(what, !t.whatItDoes[step]);
    setHidden(element, !isHeld);
  }

  return { element, update };
}

/** What is held or latched, by whom, since when and why; in the gateway's words where the port says no more. */
function whyOf(machine) {
  const { latch, hold } = machine.port ?? {};
  const what = latch ?? hold;
  const cause = latch ? t.latchCause[latch.cause] : t.holdCause[hold?.cause];
  if (!what || !cause) return people(machine.condition);
  const waiting = Number(hold?.waitingBytes ?? 0);
  return [
    t.because(cause, what.who === ITSELF ? "" : nameOf(what.who), what.beginTime ? clock(what.beginTime) : "", isAlarmed(machine) ? "" : people(what.reason)),
    waiting ? t.waiting(bytes(waiting)) : "",
  ].filter(Boolean).join(" ");
}

function titleOf(machine) {
  if (machine.port?.latched) return t.latched;
  if (isAlarmed(machine)) return t.alarm;
  if (machine.condition) return t.held;
  if (isAsleep(machine)) return t.asleep;
  return t.message;
}
