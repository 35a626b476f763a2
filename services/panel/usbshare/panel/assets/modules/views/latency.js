// The six parts of a round trip, each by one clock, and how they were in the last minutes.

import { texts } from "../../texts/en.js";
import { h, keyed, replace, s, setHidden, setText } from "../dom.js";
import { durationMs, milliseconds } from "../format.js";
import { go } from "../router.js";
import { machineKey, whyUnseen } from "../state.js";
import { card, empty, machineSelect, note, pageHead } from "./parts.js";

const t = texts.latency;
const PARTS = ["PROGRAM", "BRIDGE", "NETWORK", "HOST", "PORT", "FIRMWARE"].map((name) => `LATENCY_PART_${name}`);
const SHOWN_MS = 5 * 60 * 1000;
const WIDTH = 600;
const HEIGHT = 160;

export function latencyView({ store, key, tellShown }) {
  if (key) tellShown({ latencies: [machineKey(key)] });
  const select = machineSelect(store, key, (chosen) => go("latency", ...chosen.split("\n")));
  select.setAttribute("aria-label", texts.machine.other);
  const warnings = h("div", { class: "stack" });
  const body = h("tbody", {});
  const table = h(
    "table",
    { class: "table folding numbers" },
    h("thead", {}, h("tr", {}, [t.part, t.latest, t.median, t.p95, t.longest].map((heading) => h("th", { scope: "col" }, heading)))),
    body,
  );
  const total = h("p", { class: "firmware-state" });
  const plot = h("div", { class: "plot" });
  const how = h("p", {});
  const none = empty(t.none, how);
  const shown = h("div", { class: "latency-grid" }, card(t.now, total, table), card(t.minutes, plot));
  const element = h("div", { class: "stack" }, pageHead(t.title, t.lead, select), warnings, none, shown);

  const end = store.watch((state) => {
    select.update(state, key);
    setHidden(select, state.machines.size < 2);
    const samples = state.latencies.get(key) ?? [];
    const latest = samples.at(-1);
    setHidden(none, Boolean(latest));
    setText(how, (!state.machines.has(key) && whyUnseen(state, machineKey(key).host)) || t.noneHow);
    setHidden(shown, !latest);
    if (!latest) return;
    const parts = latest.parts ?? [];
    keyed(body, parts, (part) => part.part, partRow);
    keyed(warnings, parts.filter((part) => part.warning), (part) => part.part, () => {
      const text = h("p", {});
      const box = note("warn", text);
      box.update = (part) => setText(text, `${t.name[part.part]}: ${part.warning}`);
      return box;
    });
    const measured = parts.map((part) => durationMs(part.latest)).filter((ms) => ms != null);
    setText(total, t.sum(milliseconds(measured.reduce((sum, ms) => sum + ms, 0))));
    replace(plot, drawPlot(samples));
  });
  return { element, end };
}

function partRow() {
  const name = h("span", {});
  const cells = [t.latest, t.median, t.p95, t.longest].map((heading) => h("td", { data: { heading } }, h("span", {})));
  const swatch = h("span", { class: "swatch" });
  const element = h("tr", {}, h("td", { data: { heading: t.part } }, h("span", { class: "row" }, swatch, name)), cells);
  element.update = (part) => {
    swatch.className = `swatch part-${PARTS.indexOf(part.part) + 1}`;
    setText(name, t.name[part.part] ?? part.part);
    [part.latest, part.median, part.p95, part.longest].forEach((value, index) => setText(cells[index].firstChild, milliseconds(durationMs(value))));
    element.classList.toggle("warned", Boolean(part.warning));
  };
  return element;
}

/** The parts on top of one another, over time. */
function drawPlot(samples) {
  const now = samples.at(-1).receivedAt;
  const stacks = samples.map((sample) => {
    const times = new Map((sample.parts ?? []).map((part) => [part.part, durationMs(part.latest) ?? 0]));
    let sum = 0;
    const tops = PARTS.map((part) => (sum += times.get(part) ?? 0));
    return { x: WIDTH - ((now - sample.receivedAt) / SHOWN_MS) * WIDTH, tops };
  });
  const most = niceAbove(Math.max(1, ...stacks.map((stack) => stack.tops.at(-1))));
  const y = (ms) => HEIGHT - (ms / most) * HEIGHT;
  const areas = PARTS.map((part, index) => {
    const top = stacks.map(({ x, tops }) => `${x.toFixed(1)},${y(tops[index]).toFixed(1)}`);
    const bottom = stacks.map(({ x, tops }) => `${x.toFixed(1)},${y(index ? tops[index - 1] : 0).toFixed(1)}`).reverse();
    return s("polygon", { class: `area part-${index + 1}`, points: [...top, ...bottom].join(" ") });
  });
  const lines = [0.25, 0.5, 0.75, 1].map((part) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(most * part), y2: y(most * part) }));
  const summary = t.plotLabel(milliseconds(most), stacks.length);
  return [
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary, preserveAspectRatio: "none" }, areas, lines),
    h("span", { class: "plot-most" }, milliseconds(most)),
    h("span", { class: "plot-half" }, milliseconds(most / 2)),
    h("p", { class: "plot-times" }, h("span", {}, t.begin), h("span", {}, t.end)),
  ];
}

function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value) ?? value;
}
