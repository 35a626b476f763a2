// A test pulse: short, weak, limited by the gateway and ended by the machine itself.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { durationMs } from "../format.js";
import { whyMoving, whyNoWork } from "../refusal.js";
import { guardedBeside, reasonLine, sayReason, whyNotControl } from "../rights.js";
import { machineKey } from "../state.js";
import { button, card, check, field } from "../views/parts.js";

const t = texts.laser;
const READY_MS = 60_000;

export function laserCard({ actions, key }) {
  const machine = machineKey(key);
  const power = h("input", { class: "input", type: "number", min: 0.1, step: 0.1, value: 1, inputMode: "decimal" });
  const time = h("input", { class: "input", type: "number", min: 1, step: 1, value: 20, inputMode: "numeric" });
  const clear = check(t.clear);
  const pulse = button("", fire, { kind: "danger" });
  const label = h("span", {});
  pulse.append(label);
  pulse.classList.remove("icon-only");
  const reason = reasonLine("laser-reason");
  const guard = guardedBeside([power, time, clear.input], reason.id);
  const said = h("p", { class: "small", role: "status" });
  const element = card(t.title, reason, h("div", { class: "pair" }, field(t.power, power), field(t.time, time)), clear, pulse, said);
  let why = "";
  let ready = 0;
  let isFiring = false;

  function showLabel() {
    setText(label, t.pulse(power.value, time.value));
    pulse.disabled = isFiring || Boolean(why) || !clear.input.checked || !power.validity.valid || !time.validity.valid;
  }
  for (const input of [power, time]) input.addEventListener("input", showLabel);
  clear.input.addEventListener("change", () => {
    clearTimeout(ready);
    if (clear.input.checked) ready = setTimeout(notReady, READY_MS);
    showLabel();
  });

  function notReady() {
    clear.input.checked = false;
    showLabel();
  }

  async function fire() {
    if (isFiring) return;
    isFiring = true; // one at a time, however quickly somebody clicks
    showLabel();
    const duration = `${Number(time.value) / 1000}s`;
    const answer = await actions.run({ pulse: { machine, powerPercent: Number(power.value), duration } });
    setText(said, answer ? t.done(power.value, time.value) : "");
    isFiring = false;
    showLabel();
  }

  function update(current) {
    const abilities = current.abilities ?? {};
    setHidden(element, !abilities.canPulse);
    power.max = abilities.maxPulsePercent ?? 0;
    time.max = durationMs(abilities.maxPulseTime) ?? 0;
    const refusal = whyNotControl(current) || whyNoWork(current);
    why = refusal || whyMoving(current);
    pulse.title = why;
    guard(whyNotControl(current), current.control?.needsCode);
    sayReason(reason, refusal, current.control?.needsCode);
    showLabel();
  }
  return { element, update, end: () => clearTimeout(ready) };
}
