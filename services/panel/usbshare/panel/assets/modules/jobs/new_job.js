// A file for a job: drop it, see what it would do, queue it.

import { texts } from "../../texts/en.js";
import { h, replace, setAttribute, setHidden, setText } from "../dom.js";
import { bytes, count, seconds, span } from "../format.js";
import { boxSides } from "../machine/frame.js";
import { notice } from "../notices.js";
import { guarded, reasonLine } from "../rights.js";
import { machineKey } from "../state.js";
import { button, cardWith, check, facts, field, note, progressBar } from "../views/parts.js";
import { bedOf, preview } from "./preview.js";
import { progressNumber, upload } from "./upload.js";

const t = texts.newJob;
const LONG_MS = 600_000;

export function newJobCard({ store, actions, key }) {
  const { host, portId } = machineKey(key);
  const input = h("input", { type: "file", class: "visually-hidden", accept: ".nc,.gcode,.gc,.ngc,.tap,.g,.txt", id: "job-file" });
  const drop = h("label", { class: "drop", htmlFor: "job-file" }, h("span", { class: "strong" }, t.drop), h("span", { class: "muted small" }, t.dropHow));
  const bar = progressBar(t.sending);
  const said = h("p", { class: "small", role: "status" });
  const cancel = button(t.cancel, () => sending?.abort());
  const picture = preview();
  const result = h("div", { class: "stack" });
  const details = h("div", {}); // below the form, which is what comes next
  const passes = h("input", { class: "input", type: "number", min: 1, max: 1000, value: 1, inputMode: "numeric" });
  const attended = check(t.attended);
  const enqueue = button(t.enqueue, () => queue(), { kind: "primary" });
  const other = button(t.other, clear);
  const form = h("div", { class: "stack" }, h("div", { class: "pair" }, field(t.passes, passes, t.passesHint), attended), h("div", { class: "row" }, enqueue, other));
  const reason = reasonLine("new-job-reason");
  const guard = guarded([input, enqueue], reason);
  const element = cardWith(t.title, null, reason, input, drop, bar, said, cancel, picture, result, form, details);
  let file = null; // {name, stored, analysis}
  let waitsFor = 0; // the number under which progress comes
  let busy = false;
  let sending = null; // what ends it
  let shownBed = "";

  show();

  function show() {
    setHidden(drop, Boolean(file) || busy);
    setHidden(bar, !busy);
    setHidden(cancel, !sending);
    setHidden(picture, !file?.analysis);
    setHidden(result, !file);
    setHidden(details, !file);
    setHidden(form, !file?.analysis);
  }

  function clear() {
    file = null;
    input.value = "";
    setText(said, "");
    show();
  }

  async function take(chosen) {
    if (!chosen || busy) return;
    busy = true;
    file = null;
    bar.update(0);
    const ours = (sending = new AbortController());
    show();
    try {
      setText(said, t.sendingFile(chosen.name, bytes(chosen.size)));
      waitsFor = progressNumber();
      const stored = await upload(host, portId, chosen, waitsFor, ours.signal);
      sending = null;
      show();
      await look(chosen.name, stored);
    } catch (failure) {
      setText(said, ours.signal.aborted ? t.cancelled(chosen.name) : failure.message);
      input.value = "";
    } finally {
      sending = null;
      busy = false;
      show();
    }
  }

  async function look(name, stored) {
    setText(said, t.analysing(name));
    const analyse = { sha256: stored.sha256, portId, passes: Number(passes.value) || 1 };
    const answer = await actions.request({ jobCall: { host, analyse } }, { timeoutMs: LONG_MS, onId: (id) => (waitsFor = id) });
    const analysis = answer.job?.analyse ?? {};
    file = { name, stored: analysis.file ?? stored, analysis };
    setText(said, "");
    replace(result, findings(analysis));
    replace(details, analysisFacts(name, analysis));
    drawPreview();
  }

  function drawPreview() {
    const bed = bedOf(store.state.machines.get(key));
    shownBed = JSON.stringify(bed);
    setHidden(picture, false);
    picture.show({ host, portId, file: file.stored, analysis: file.analysis, bed });
  }

  async function queue() {
    enqueue.disabled = true;
    const queued = file; // another may be chosen before the answer comes
    const wanted = {
      portId,
      sha256: queued.stored.sha256,
      name: queued.name,
      passes: Math.max(1, Number(passes.value) || 1),
      attended: attended.input.checked,
      requestId: requestId(),
    };
    const answer = await actions.run({ jobCall: { host, enqueue: wanted } });
    enqueue.disabled = false;
    if (!answer) return;
    notice(t.queued(queued.name, answer.job?.enqueue?.job?.place ?? 1), "ok");
    if (file === queued) clear();
  }

  input.addEventListener("change", () => take(input.files[0]));
  for (const name of ["dragenter", "dragover"]) {
    element.addEventListener(name, (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      setAttribute(drop, "data-over", "");
    });
  }
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget)) setAttribute(drop, "data-over", null);
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    setAttribute(drop, "data-over", null);
    if (input.disabled) notice(reason.textContent, "danger");
    else take(event.dataTransfer.files[0]);
  });

  function update(machine, state) {
    guard(machine.control?.isAllowed ? "" : machine.control?.reason || texts.rights.noControl, machine.control?.needsCode);
    setAttribute(drop, "aria-disabled", input.disabled ? "true" : null);
    const progress = busy && state.progress.get(waitsFor);
    if (progress) bar.update(Number(progress.done ?? 0) / Number(progress.total || 1));
    if (file && JSON.stringify(bedOf(machine)) !== shownBed) drawPreview();
  }

  /** Takes a job that has ended as the file of a new one. */
  async function again(job) {
    if (busy) return;
    busy = true;
    show();
    element.scrollIntoView({ block: "start" });
    try {
      passes.value = job.passes || 1;
      await look(job.name, job.file);
    } catch (failure) {
      setText(said, failure.message);
    } finally {
      busy = false;
      show();
    }
  }

  function end() {
    sending?.abort();
  }

  return { element, update, again, end };
}

function analysisFacts(name, analysis) {
  const rows = facts([
    ["name", t.file],
    ["size", t.size],
    ["time", t.time],
    ["moves", t.moves],
    ["burns", t.burns],
    ["travel", t.travel],
    ["rate", t.rate],
  ]);
  const box = (value) => (value ? texts.box(boxSides(value)) : t.nothing);
  const peak = analysis.peakBytesPerS ?? 0;
  const line = analysis.lineBytesPerS ?? 0;
  rows.update({
    name,
    size: t.sizeIs(count(analysis.file?.lines), bytes(analysis.file?.sizeBytes)),
    time: t.timeIs(span(seconds(analysis.duration)), analysis.hasMachineSettings),
    moves: box(analysis.box),
    burns: box(analysis.burntBox),
    travel: analysis.travel ? texts.travel(boxSides(analysis.travel)) : t.travelUnknown,
    rate: line ? t.rateOf(bytes(peak), bytes(line), peak > line) : t.rateIs(bytes(peak)),
  });
  return rows;
}

function findings(analysis) {
  const all = analysis.findings ?? [];
  const errors = Number(analysis.errorCount ?? 0);
  const total = Number(analysis.findingCount ?? all.length);
  if (!total) return note("ok", h("strong", {}, t.noFindings));
  const items = all.map((each) => h("li", {}, each.line && each.line !== "0" ? h("span", { class: "strong" }, t.line(each.line)) : null, [each.code, each.text].filter(Boolean).join(": ")));
  return note(
    errors ? "danger" : "warn",
    h("strong", {}, errors ? t.errors(errors, total - errors) : t.warnings(total)),
    h("ul", { class: "plain findings" }, items),
    total > all.length && h("p", { class: "small" }, t.moreFindings(total - all.length)),
  );
}

function requestId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}
