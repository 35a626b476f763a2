// How far a job is, and what can be done with it now.

import { texts } from "../../texts/en.js";
import { confirm } from "../dialogs.js";
import { h, setHidden, setText } from "../dom.js";
import { clock, count, people, seconds, span } from "../format.js";
import { button, progressBar } from "../views/parts.js";
import { bedOf, preview } from "./preview.js";

const t = texts.jobs;
const REDRAW_MS = 400;

/** Bar and figures; `update(job)`. */
export function jobProgress() {
  const bar = progressBar(t.progress);
  const state = h("p", { class: "small" });
  const lines = h("p", { class: "small muted" });
  const asked = h("p", { class: "small strong", role: "status" });
  const element = h("div", { class: "stack tight" }, bar, state, lines, asked);
  element.update = (job) => {
    const progress = job.progress ?? {};
    bar.update(partOf(job));
    const left = seconds(progress.remaining);
    const parts = [
      t.state[job.state] ?? job.state,
      t.percent(Math.floor(partOf(job) * 100)),
      t.elapsed(span(seconds(progress.elapsed) ?? 0)),
      left == null ? "" : t.left(span(left)),
      job.passes > 1 ? t.pass(progress.pass || 1, job.passes) : "",
    ];
    setText(state, parts.filter(Boolean).join(" · "));
    setText(lines, [t.lines(count(progress.lines), count(progress.sentLines), count(progress.acknowledgedLines), count(progress.executedLines)), people(job.stateReason)].filter(Boolean).join(" · "));
    const latest = job.controlRequests?.at(-1);
    setText(asked, latest ? t.asked(people(latest.who), clock(latest.requestTime)) : "");
  };
  return element;
}

/** How much of a job has been executed, 0 to 1. */
export function partOf(job) {
  const progress = job.progress ?? {};
  const lines = Number(progress.lines ?? 0);
  return lines ? Number(progress.executedLines ?? 0) / lines : 0;
}

/** Where a job is on the bed: what is done in this pass, and the tool; `update(job, machine)`. */
export function jobPreview(host, portId) {
  const element = preview();
  let shown = "";
  let markedAt = 0;
  element.update = (job, machine) => {
    const wanted = `${job.jobId} ${JSON.stringify(bedOf(machine))}`;
    if (wanted !== shown) {
      shown = wanted;
      element.show({ host, portId, file: job.file ?? {}, bed: bedOf(machine) });
    }
    if (performance.now() - markedAt < REDRAW_MS) return;
    markedAt = performance.now();
    element.mark({ line: lineOf(job), at: machine?.report?.workPosition?.slice(0, 2) ?? null });
  };
  return element;
}

/** The line of the file that was executed last in the pass that is under way. */
function lineOf(job) {
  const progress = job.progress ?? {};
  const perPass = Number(progress.lines ?? 0) / (job.passes || 1);
  const before = perPass * Math.max(0, (progress.pass || 1) - 1);
  return Math.max(0, (job.firstLine > 1 ? Number(job.firstLine) - 1 : 0) + Number(progress.executedLines ?? 0) - before);
}

/** Hold, resume, cancel, as the job's state allows; `update(job, machine)`. */
export function jobControls(actions, host, current) {
  const call = (name, fields) => actions.run({ jobCall: { host, [name]: fields } });
  const hold = button(t.hold, () => call("hold", { jobId: current().jobId, reason: texts.stop.reason }), { name: "pause" });
  const resume = button(t.resume, () => call("resume", { jobId: current().jobId, holdNumber: current().holdNumber ?? "0" }), { kind: "primary", name: "play" });
  const cancel = button(t.cancel, async () => {
    const job = current();
    if (await confirm(t.cancelTitle, t.cancelSure(job.name), t.cancelYes, { isDanger: true })) {
      call("cancel", { jobId: job.jobId, reason: texts.stop.reason });
    }
  }, { kind: "danger" });
  const handOver = button(t.handOver, async () => {
    const job = current();
    const who = people(job.controlRequests?.at(-1)?.who);
    if (await confirm(t.handOverTitle, t.handOverSure(job.name, who), t.handOverYes, { isDanger: true })) {
      call("handOver", { jobId: job.jobId, reason: texts.stop.reason });
    }
  });
  const element = h("div", { class: "row" }, hold, resume, handOver, cancel);
  element.update = (job, machine) => {
    const isRunning = job.state === "JOB_STATE_RUNNING";
    const isHeld = job.state === "JOB_STATE_HELD";
    setHidden(hold, !isRunning);
    setHidden(resume, !isHeld);
    setHidden(cancel, !isRunning && !isHeld);
    setHidden(handOver, !job.controlRequests?.length);
    const mayStop = machine?.stop?.isAllowed ?? false;
    hold.disabled = cancel.disabled = !mayStop;
    resume.disabled = handOver.disabled = !machine?.control?.isAllowed;
    resume.title = resume.disabled ? machine?.control?.reason || texts.rights.noControl : "";
    hold.title = hold.disabled ? machine?.stop?.reason || texts.rights.noStop : "";
  };
  return element;
}
