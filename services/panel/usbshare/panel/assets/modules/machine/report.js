// What the machine reports: state, positions, feed, power, buffers.

import { texts } from "../../texts/en.js";
import { h, setAttribute, setHidden, setText } from "../dom.js";
import { count, durationMs, millimetres, milliseconds } from "../format.js";
import { isAlarmed } from "../machine_state.js";
import { whyBusy, whyNoWork } from "../refusal.js";
import { guardedBeside, whyNotControl } from "../rights.js";
import { machineKey } from "../state.js";
import { button, card, cardWith, facts } from "../views/parts.js";

const t = texts.report;
const AXES = ["X", "Y", "Z", "A", "B", "C"];
const OLD_MS = 3000;

export function reportCard({ actions, key, store }) {
  const state = h("p", { class: "firmware-state" });
  const age = h("span", { class: "small muted" });
  const rows = AXES.map((axis) => axisRow(axis, () => zero(axis)));
  const table = h(
    "table",
    { class: "positions" },
    h("caption", { class: "visually-hidden" }, t.positions),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t.axis), h("th", { scope: "col" }, t.work), h("th", { scope: "col" }, t.machine), h("th", {}, h("span", { class: "visually-hidden" }, t.zero)))),
    h("tbody", {}, rows.map((row) => row.element)),
  );
  const allZero = button(t.zeroAll, () => zero("XYZ"));
  const guard = guardedBeside([...rows.map((row) => row.zero), allZero], "motion-reason");
  const details = facts([
    ["feed", t.feed],
    ["spindle", t.spindle],
    ["moves", t.freeMoves],
    ["bytes", t.freeBytes],
    ["queue", t.queue],
    ["pins", t.pins],
    ["accessories", t.accessories],
    ["line", t.line],
  ]);
  const element = cardWith(t.title, age, state, table, h("div", { class: "row end" }, allZero));
  const more = card(t.details, details); // below the jog pad, which must not move when they come

  function zero(axes) {
    actions.run({ setZero: { machine: machineKey(key), axes } });
  }

  function showAge() {
    const machine = store.state.machines.get(key);
    if (!machine?.report) {
      setText(age, machine?.port?.state === "PORT_STATE_AVAILABLE" ? t.opens : t.noReport);
      return;
    }
    const ageMs = (durationMs(machine.report.age) ?? 0) + performance.now() - machine.receivedAt;
    setText(age, ageMs > OLD_MS ? t.old(milliseconds(ageMs)) : t.fresh);
    setAttribute(element, "data-old", ageMs > OLD_MS ? "" : null);
  }
  const timer = setInterval(showAge, 1000);

  function update(machine) {
    const report = machine.report ?? {};
    setText(state, stateText(machine));
    setAttribute(state, "data-state", isAlarmed(machine) ? "Alarm" : report.state ?? "");
    const work = report.workPosition ?? [];
    const own = report.machinePosition ?? [];
    const axes = Math.max(work.length, own.length) || 3;
    rows.forEach((row, index) => row.update(index < axes, work[index], own[index]));
    details.update({
      feed: report.feed == null ? null : t.feedIs(count(report.feed)),
      spindle: report.spindle == null ? null : spindleOf(report.spindle, machine.abilities?.maxSpindle),
      moves: report.freeBlocks == null ? null : String(report.freeBlocks),
      bytes: report.freeBytes == null ? null : String(report.freeBytes),
      queue: machine.queue?.commands ? t.queueIs(count(machine.queue.commands), milliseconds(durationMs(machine.queue.oldestAge))) : null,
      pins: report.pins ? pinNames(report.pins) : null,
      accessories: report.accessories ? accessoryNames(report.accessories) : null,
      line: report.line ? String(report.line) : null,
    });
    const isMoved = !machine.abilities || machine.abilities.canJog; // by the jog pad, beside which the reason is
    guard(whyNotControl(machine) || !isMoved || whyNoWork(machine) || whyBusy(machine), machine.control?.needsCode);
    showAge();
  }

  return { element, more, update, end: () => clearInterval(timer) };
}

function axisRow(axis, onZero) {
  const work = h("td", { class: "position" });
  const own = h("td", { class: "position muted" });
  const zero = button(t.zeroAxis(axis), onZero, { label: t.zeroAxisLong(axis) });
  const element = h("tr", {}, h("th", { scope: "row" }, axis), work, own, h("td", {}, zero));
  function update(isThere, workValue, ownValue) {
    setHidden(element, !isThere);
    setText(work, workValue == null ? texts.none : millimetres(workValue));
    setText(own, ownValue == null ? texts.none : millimetres(ownValue));
  }
  return { element, zero, update };
}

function stateText(machine) {
  const { state, substate } = machine.report ?? {};
  if (isAlarmed(machine) && state !== "Alarm") return texts.state.alarm;
  if (state) return t.state(state, substate);
  if (machine.port?.state === "PORT_STATE_AVAILABLE") return texts.state.available;
  return machine.port?.machineState || t.silent;
}

function spindleOf(value, most) {
  return most ? t.spindleIs(count(value), Math.round((value / most) * 100)) : count(value);
}

function pinNames(pins) {
  return [...pins].map((pin) => t.pin[pin] ?? pin).join(", ");
}

function accessoryNames(letters) {
  return [...letters].map((letter) => t.accessory[letter] ?? letter).join(", ");
}
