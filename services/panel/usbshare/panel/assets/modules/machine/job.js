// The job that runs on this machine, and the queue behind it in one line.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { jobControls, jobProgress } from "../jobs/running.js";
import { address } from "../router.js";
import { currentJob, jobsOf, machineKey } from "../state.js";
import { cardWith } from "../views/parts.js";

const t = texts.jobs;

export function jobCard({ actions, key, store }) {
  const { host, portId } = machineKey(key);
  const name = h("p", { class: "strong" });
  const progress = jobProgress();
  const controls = jobControls(actions, host, () => currentJob(store.state, key));
  const running = h("div", { class: "stack tight" }, name, progress, controls);
  const waiting = h("p", { class: "muted" });
  const link = h("a", { class: "button", href: address("jobs", host, portId) }, t.toJobs);
  const element = cardWith(t.card, link, running, waiting);

  function update(machine, state) {
    const job = currentJob(state, key);
    const queued = jobsOf(state, key).filter((each) => each.state === "JOB_STATE_QUEUED");
    setHidden(running, !job);
    if (job) {
      setText(name, job.name);
      progress.update(job);
      controls.update(job, machine);
    }
    setText(waiting, queued.length ? t.waiting(queued.length, queued[0].name) : job ? "" : t.noJob);
    setHidden(waiting, !waiting.textContent);
    setHidden(element, !state.hosts.get(host)?.job);
  }
  return { element, update };
}
