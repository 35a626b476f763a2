// The state of a machine in one or two words, and its tone.

import { texts } from "../texts/en.js";
import { isRefused, whyUnseen } from "./state.js";

const TONES = {
  Idle: "ok",
  Run: "busy",
  Jog: "busy",
  Home: "busy",
  Check: "busy",
  Hold: "warn",
  Door: "warn",
  Alarm: "danger",
  Sleep: "warn",
};

/** Returns `{text, tone}`; what keeps the machine from being used comes before what its firmware said. */
export function stateOf(state, machine) {
  const host = machine?.key?.host;
  if (whyUnseen(state, host)) return { text: isRefused(state, host) ? texts.hosts.refused : texts.hosts.lost, tone: "danger" };
  const port = machine?.port ?? {};
  const t = texts.state;
  if (port.state === "PORT_STATE_ABSENT") return { text: t.absent, tone: "warn" };
  if (port.state === "PORT_STATE_FAILED") return { text: t.failed, tone: "danger" };
  if (port.latched) return { text: t.latched, tone: "danger" };
  if (isAlarmed(machine)) return { text: t.alarm, tone: "danger" };
  const firmware = machine?.report?.state || port.machineState?.split(":")[0] || "";
  if (port.hold || port.held) return { text: firmware && TONES[firmware] !== "ok" ? firmware : t.held, tone: TONES[firmware] === "danger" ? "danger" : "warn" };
  if (firmware) return { text: firmware, tone: TONES[firmware] ?? "" };
  if (port.state === "PORT_STATE_AVAILABLE") return { text: t.available, tone: "" };
  return { text: t.unknown, tone: "" };
}

/** Whether the machine is in alarm; after some alarms its firmware reports nothing more until it is reset. */
export const isAlarmed = (machine) => machine?.report?.state === "Alarm" || machine?.port?.hold?.cause === "HOLD_CAUSE_ALARM";

/** Whether the machine sleeps: it takes nothing until it is reset. */
export const isAsleep = (machine) => machine?.report?.state === "Sleep";

/** Who holds the port, for people; empty if nobody does. */
export function holderOf(machine) {
  if (machine?.controlState === "CONTROL_STATE_OURS") return texts.machine.ours;
  const holder = machine?.port?.holder;
  if (!holder) return "";
  return texts.machine.holder(holder.identity ?? "", holder.clientName ?? "", holder.peer ?? "");
}
