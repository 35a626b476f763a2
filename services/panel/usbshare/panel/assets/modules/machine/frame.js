// Shows where a job goes: the machine moves along its box, the beam off or at a low power.

import { texts } from "../../texts/en.js";
import { dialog } from "../dialogs.js";
import { h, setHidden, setText } from "../dom.js";
import { millimetres } from "../format.js";
import { jobsOf, machineKey } from "../state.js";
import { button, choice, field } from "../views/parts.js";

const t = texts.frame;
const LONG_MS = 180_000;

export const FEED = 1500;

/** Asks for job, box and power, and frames it; `jobId` is chosen at first. */
export function frameDialog(actions, store, key, feed, jobId = "") {
  const jobs = jobsOf(store.state, key);
  const jobSelect = h("select", { class: "input" }, jobs.map((job) => h("option", { value: job.jobId }, job.name)));
  if (jobId) jobSelect.value = jobId;
  return dialog(t.title, (close) => {
    const framed = frameForm(actions, store, key, feed, () => {
      const job = jobs.find((each) => each.jobId === jobSelect.value);
      return job?.file?.sha256;
    });
    jobSelect.addEventListener("change", framed.look);
    framed.look();
    return [
      h("p", {}, t.what),
      field(t.job, jobSelect),
      framed.element,
      h("div", { class: "actions" }, button(texts.close, () => close(null)), framed.stop, framed.go),
    ];
  });
}

function frameForm(actions, store, key, feed, sha256) {
  const { host, portId } = machineKey(key);
  const abilities = store.state.machines.get(key)?.abilities ?? {};
  let which = "box";
  let analysis = null;
  const boxText = h("p", { class: "muted", role: "status" });
  const power = h("input", { class: "input", type: "number", min: 0, max: abilities.maxPulsePercent ?? 0, step: 0.5, value: 0 });
  const powerField = field(t.power, power, t.powerHint(abilities.maxPulsePercent ?? 0));
  setHidden(powerField, !abilities.canPulse);
  const boxes = choice(t.box, [["box", t.allMoves], ["burntBox", t.burnt]], which, (value) => {
    which = value;
    show();
  });
  const go = button(t.go, frame, { kind: "primary" });
  // The jog pad's is behind the dialog.
  const stop = button(texts.motion.stop, () => actions.cancelMotion({ host, portId }), { kind: "danger", label: texts.motion.cancel });
  stop.disabled = true;

  async function look() {
    analysis = null;
    go.disabled = true;
    setText(boxText, t.analysing);
    const answer = await actions.run({ jobCall: { host, analyse: { sha256: sha256(), portId } } }, { timeoutMs: LONG_MS });
    analysis = answer?.job?.analyse ?? null;
    show();
  }

  function show() {
    const box = analysis?.[which];
    go.disabled = !box;
    setText(boxText, box ? texts.box(boxSides(box)) : analysis ? t.noBox : "");
  }

  async function frame() {
    go.disabled = true;
    stop.disabled = false;
    await actions.run({ frame: { machine: { host, portId }, box: analysis[which], feed, powerPercent: Number(power.value) || 0 } }, { timeoutMs: LONG_MS });
    go.disabled = false;
    stop.disabled = true;
  }

  return { element: h("div", { class: "stack" }, boxes, boxText, powerField), go, stop, look };
}

/** The sides of a box as text. */
export function boxSides(box) {
  const side = (value) => millimetres(value, 1);
  return {
    x: [side(box.minXMm), side(box.maxXMm)],
    y: [side(box.minYMm), side(box.maxYMm)],
    width: side((box.maxXMm ?? 0) - (box.minXMm ?? 0)),
    height: side((box.maxYMm ?? 0) - (box.minYMm ?? 0)),
  };
}
