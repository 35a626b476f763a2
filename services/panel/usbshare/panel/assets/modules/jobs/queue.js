// Jobs that wait: nothing starts by itself.

import { texts } from "../../texts/en.js";
import { confirm, dialog } from "../dialogs.js";
import { h, keyed, setHidden, setText } from "../dom.js";
import { count, nameOf, people, seconds, span } from "../format.js";
import { notice } from "../notices.js";
import { boxSides, FEED, frameDialog } from "../machine/frame.js";
import { whyMoving, whyNoWork } from "../refusal.js";
import { guarded, reasonLine } from "../rights.js";
import { jobsOf, machineKey } from "../state.js";
import { button, card, check, empty, facts } from "../views/parts.js";

const t = texts.jobs;
const LONG_MS = 600_000;

export function queueCard({ actions, key, store }) {
  const { host, portId } = machineKey(key);
  const list = h("ol", { class: "plain queue" });
  const none = empty(t.queueEmpty, h("p", {}, t.queueHow));
  const reason = reasonLine("queue-reason");
  const element = card(t.queue, reason, list, none);
  const call = (name, fields, options) => actions.run({ jobCall: { host, [name]: fields } }, options);

  function row() {
    const name = h("p", { class: "strong" });
    const about = h("p", { class: "small muted" });
    const start = button(t.start, () => startDialog(item.job), { kind: "primary", name: "play" });
    const frame = button(t.frame, () => frameDialog(actions, store, key, FEED, item.job.jobId));
    const up = button("", () => call("reorder", { jobId: item.job.jobId, place: item.job.place - 1 }), { name: "up" });
    const down = button("", () => call("reorder", { jobId: item.job.jobId, place: item.job.place + 1 }), { name: "down" });
    const remove = button("", removeJob, { name: "close" });
    const item = h("li", { class: "queue-item" }, h("div", {}, name, about), h("div", { class: "row" }, start, frame, up, down, remove));
    item.buttons = [start, frame, up, down, remove];
    item.up = up;
    item.down = down;
    item.frame = frame;

    async function removeJob() {
      if (await confirm(t.removeTitle, t.removeSure(item.job.name), t.remove, { isDanger: true })) call("delete", { jobId: item.job.jobId });
    }

    item.update = (job) => {
      item.job = job;
      setText(name, t.placed(job.place ?? 0, job.name));
      const parts = [t.passesOf(job.passes || 1), t.fileLines(count(job.file?.lines)), t.by(nameOf(job.submitter)), job.attended ? t.isAttended : "", people(job.stateReason)];
      setText(about, parts.filter(Boolean).join(" · "));
      frame.setAttribute("aria-label", t.frameOf(job.name));
      up.setAttribute("aria-label", t.up(job.name));
      down.setAttribute("aria-label", t.down(job.name));
      remove.setAttribute("aria-label", t.removeOf(job.name));
    };
    return item;
  }

  function update(machine, state) {
    const jobs = jobsOf(state, key).filter((job) => job.state === "JOB_STATE_QUEUED");
    keyed(list, jobs, (job) => job.jobId, row);
    setHidden(none, jobs.length > 0);
    const rows = [...list.children];
    const why = machine.control?.isAllowed ? "" : machine.control?.reason || texts.rights.noControl;
    guarded(rows.flatMap((each) => each.buttons), reason)(jobs.length ? why : "", machine.control?.needsCode && jobs.length > 0);
    rows.forEach((each, index) => {
      each.up.disabled ||= index === 0;
      each.down.disabled ||= index === rows.length - 1;
      each.frame.title = whyNoFrame(machine);
      each.frame.disabled ||= Boolean(each.frame.title);
    });
  }
  return { element, update };

  /** Shows what is about to happen, and starts it by one more click. */
  async function startDialog(job) {
    const rows = facts([["passes", t.passes], ["time", t.time], ["burns", t.burns], ["zero", t.zero]]);
    const said = h("p", { class: "reason", role: "alert", hidden: true });
    const auto = check(t.autoAdvance);
    const despite = check(t.despite);
    setHidden(despite, true);
    const machine = store.state.machines.get(key);
    rows.update({ passes: String(job.passes || 1), time: t.analysing, burns: null, zero: zeroOf(machine) });
    analyse(job, rows, said, despite);
    await dialog(t.startTitle(job.name), (close) => {
      const go = button(t.startNow, begin, { kind: "primary", name: "play" });
      async function begin() {
        go.disabled = true;
        const start = { jobId: job.jobId, autoAdvance: auto.input.checked, despiteErrors: despite.input.checked };
        // Once it has left the queue its own controls are needed, whatever the answer still takes.
        const unwatch = store.watch((state) => {
          if (stateOf(state, job) !== "JOB_STATE_QUEUED") close(true);
        });
        try {
          await actions.giveWay(key);
          await actions.request({ jobCall: { host, start } }, { timeoutMs: LONG_MS });
          close(true);
        } catch (failure) {
          if (!said.isConnected) notice(failure.message, "danger");
          setText(said, failure.message);
          setHidden(said, false);
          go.disabled = false;
        } finally {
          unwatch();
        }
      }
      return [h("p", {}, t.startLook), rows, auto, despite, said, h("div", { class: "actions" }, button(texts.cancel, () => close(null)), go)];
    });
  }

  function stateOf(state, job) {
    return jobsOf(state, key).find((each) => each.jobId === job.jobId)?.state;
  }

  async function analyse(job, rows, said, despite) {
    const wanted = { sha256: job.file?.sha256, portId, passes: job.passes || 1 };
    try {
      const answer = await actions.request({ jobCall: { host, analyse: wanted } }, { timeoutMs: LONG_MS });
      const analysis = answer.job?.analyse ?? {};
      const errors = Number(analysis.errorCount ?? 0);
      rows.update({
        time: span((seconds(analysis.duration) ?? 0) * (job.passes || 1)),
        burns: analysis.burntBox ? texts.box(boxSides(analysis.burntBox)) : null,
      });
      setHidden(despite, !errors);
      if (errors) {
        setText(said, t.hasErrors(errors, analysis.findings?.[0]?.text ?? ""));
        setHidden(said, false);
      }
    } catch (failure) {
      rows.update({ time: failure.message });
    }
  }
}

function whyNoFrame(machine) {
  return machine.abilities?.canJog ? whyNoWork(machine) || whyMoving(machine) : texts.motion.cannotJog;
}

function zeroOf(machine) {
  const [x, y] = machine?.report?.workOffset ?? [];
  return x == null ? null : t.zeroAt(x, y);
}
