// What a machine refuses in the state that it is in, though this computer may control it: its firmware does, or its
// port. GRBL: gnea/grbl, protocol.c (G-code in alarm or while it jogs) and system.c ($ commands).

import { texts } from "../texts/en.js";
import { isAlarmed, isAsleep } from "./machine_state.js";

const t = texts.refusal;
const MOVING = new Set(["Run", "Home"]);
const NEEDS_RESET = "NEXT_STEP_RESET";

/** Why no line reaches the firmware, or it would not take any; empty if it takes some. */
export function whyNoLine(machine) {
  const { latched, hold } = machine.port ?? {};
  if (latched) return t.latched;
  if (hold && !isAlarmed(machine)) return t.held[machine.nextStep] ?? t.heldAnyhow;
  if (machine.activity) return t.doing(machine.activity);
  if (isAlarmed(machine)) return machine.nextStep === NEEDS_RESET ? t.alarm[NEEDS_RESET] : "";
  return isAsleep(machine) ? t.asleep : "";
}

/** Why it does not home; empty if it does, once it is at rest. */
export const whyNoHoming = (machine) => whyNoLine(machine) || whyChecking(machine);

/** Why it takes nothing else that moves it, or sets its zero. */
export const whyNoWork = (machine) => whyNoLine(machine) || whyAlarmed(machine) || whyChecking(machine);

/** Why its console takes not every line. */
export function whyNotEveryLine(machine) {
  return whyNoLine(machine) || (isAlarmed(machine) ? t.onlyCommands : "") || whyChecking(machine);
}

/** Why it jogs no further, and why its zero is not set now: what waits for a jog needs no reason. */
export const whyBusy = (machine) => (MOVING.has(machine.report?.state) ? t.moving : "");

/** Why what needs a machine at rest has to wait. */
export const whyMoving = (machine) => (machine.report?.state === "Jog" ? t.moving : whyBusy(machine));

function whyAlarmed(machine) {
  return isAlarmed(machine) ? t.alarm[machine.nextStep] ?? t.alarmAnyhow : "";
}

function whyChecking(machine) {
  return machine.report?.state === "Check" ? t.checking : "";
}
