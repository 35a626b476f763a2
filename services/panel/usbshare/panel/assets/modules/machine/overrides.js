// Overrides of feeds, rapids and the spindle or laser.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { guarded, reasonLine, whyNotControl } from "../rights.js";
import { machineKey } from "../state.js";
import { button, card } from "../views/parts.js";

const t = texts.overrides;
const LEAST = 10;
const MOST = 200;

export function overridesCard({ actions, key }) {
  const machine = machineKey(key);
  const set = (fields) => actions.run({ setOverrides: { machine, ...fields } });
  const rows = [stepped(t.feed, "feedPercent", set), rapids(set), stepped(t.spindle, "spindlePercent", set)];
  const reason = reasonLine("overrides-reason");
  const guard = guarded(rows.flatMap((row) => row.controls), reason);
  const element = card(t.title, reason, h("div", { class: "stack tight" }, rows.map((row) => row.element)));

  function update(current) {
    const overrides = current.report?.overrides;
    setHidden(element, !current.abilities?.canOverride);
    for (const row of rows) row.update(overrides);
    guard(whyNotControl(current) || (overrides ? "" : t.unknown), current.control?.needsCode);
  }
  return { element, update };
}

function stepped(name, fieldName, set) {
  let now = 100;
  const to = (percent) => set({ [fieldName]: Math.min(MOST, Math.max(LEAST, percent)) });
  const less = button("−10", () => to(now - 10), { label: t.less(name) });
  const more = button("+10", () => to(now + 10), { label: t.more(name) });
  const full = button("100 %", () => to(100), { kind: "quiet", label: t.full(name) });
  const value = h("output", { class: "override-value" });
  const element = h("div", { class: "override" }, h("span", { class: "override-name" }, name), less, value, more, full);
  function update(overrides) {
    now = overrides?.[fieldName] ?? 100;
    setText(value, overrides ? `${now} %` : texts.none);
  }
  return { element, controls: [less, more, full], update };
}

function rapids(set) {
  const buttons = [25, 50, 100].map((percent) => button(`${percent} %`, () => set({ rapidsPercent: percent }), { label: t.rapidsTo(percent) }));
  const element = h("div", { class: "override" }, h("span", { class: "override-name" }, t.rapids), buttons);
  function update(overrides) {
    [25, 50, 100].forEach((percent, index) => buttons[index].setAttribute("aria-pressed", String(overrides?.rapidsPercent === percent)));
  }
  return { element, controls: buttons, update };
}
