// Jobs that have ended, the latest first.

import { texts } from "../../texts/en.js";
import { confirm } from "../dialogs.js";
import { h, keyed, setHidden, setText } from "../dom.js";
import { clock, nameOf, people, seconds, span } from "../format.js";
import { machineKey } from "../state.js";
import { button, cardWith, pill, setPill } from "../views/parts.js";

const t = texts.jobs;
const PAGE = 20;
const TONES = { JOB_STATE_FINISHED: "ok", JOB_STATE_FAILED: "danger", JOB_STATE_INTERRUPTED: "danger", JOB_STATE_CANCELLED: "warn" };

export function historyCard({ actions, key }, again) {
  const { host, portId } = machineKey(key);
  const list = h("ul", { class: "plain queue" });
  const more = button(t.older, () => load(true));
  const said = h("p", { class: "muted", role: "status" });
  const element = cardWith(t.history, null, said, list, more);
  let jobs = [];
  let liveIds = null;
  let isLoading = false;

  async function load(isOlder) {
    if (isLoading) return;
    isLoading = true;
    const before = isOlder ? jobs.at(-1)?.jobId : "0";
    try {
      const answer = await actions.request({ jobCall: { host, listHistory: { portId, pageSize: PAGE, beforeJobId: before ?? "0" } } });
      const found = answer.job?.listHistory?.jobs ?? [];
      jobs = isOlder ? [...jobs, ...found] : found;
      setHidden(more, found.length < PAGE);
      setText(said, jobs.length ? "" : t.noHistory);
      keyed(list, jobs, (job) => job.jobId, row);
    } catch (failure) {
      setText(said, failure.message);
      setHidden(more, true);
    } finally {
      isLoading = false;
    }
  }

  function row() {
    const name = h("p", { class: "strong" });
    const state = pill();
    const about = h("p", { class: "small muted" });
    const repeat = button(t.again, () => again(item.job));
    const remove = button("", removeJob, { name: "close" });
    const item = h("li", { class: "queue-item" }, h("div", {}, h("div", { class: "row" }, name, state), about), h("div", { class: "row" }, repeat, remove));

    async function removeJob() {
      if (!(await confirm(t.removeTitle, t.removeSure(item.job.name), t.remove, { isDanger: true }))) return;
      if (await actions.run({ jobCall: { host, delete: { jobId: item.job.jobId } } })) load(false);
    }

    item.update = (job) => {
      item.job = job;
      setText(name, job.name);
      setPill(state, t.state[job.state] ?? job.state, TONES[job.state]);
      const elapsed = seconds(job.progress?.elapsed);
      setText(about, [clock(job.endTime), elapsed == null ? "" : span(elapsed), t.by(nameOf(job.starter || job.submitter)), people(job.stateReason)].filter(Boolean).join(" · "));
      remove.setAttribute("aria-label", t.removeOf(job.name));
    };
    return item;
  }

  /** A job that is not among the living any more has ended: look again. */
  function update(machine, state) {
    const mayControl = Boolean(machine.control?.isAllowed);
    for (const item of list.children) for (const each of item.querySelectorAll("button")) each.disabled = !mayControl;
    const ids = new Set([...state.jobs.values()].filter((each) => each.host === host).map((each) => each.job.jobId));
    const hasEnded = liveIds && [...liveIds].some((id) => !ids.has(id));
    const isFirst = !liveIds;
    liveIds = ids;
    if (isFirst || hasEnded) load(false);
  }
  return { element, update };
}
