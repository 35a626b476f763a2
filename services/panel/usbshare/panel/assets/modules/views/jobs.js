// Jobs of one machine: a file to look at and to queue, what runs, what waits, what has ended.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { historyCard } from "../jobs/history.js";
import { newJobCard } from "../jobs/new_job.js";
import { queueCard } from "../jobs/queue.js";
import { jobControls, jobPreview, jobProgress } from "../jobs/running.js";
import { conditionNotes } from "../machine/condition.js";
import { go } from "../router.js";
import { currentJob, hostName, machineKey, whyUnseen } from "../state.js";
import { card, empty, machineSelect } from "./parts.js";

const t = texts.jobs;

export function jobsView(context) {
  const { store, actions, key } = context;
  const { host, portId } = machineKey(key);
  const title = h("h1", {}, t.title);
  const about = h("p", {});
  const select = machineSelect(store, key, (chosen) => go("jobs", ...chosen.split("\n")));
  select.setAttribute("aria-label", texts.machine.other);
  const head = h("div", { class: "page-head" }, h("div", {}, title, about), select);

  const name = h("p", { class: "strong" });
  const progress = jobProgress();
  const controls = jobControls(actions, host, () => currentJob(store.state, key));
  const drawn = jobPreview(host, portId);
  const running = card(t.now, h("div", { class: "stack tight" }, name, progress, controls), drawn);

  const condition = conditionNotes(context);
  const file = newJobCard(context);
  const queue = queueCard(context);
  const history = historyCard(context, (job) => file.again(job));
  const none = empty(t.noService, h("p", {}, t.noServiceHow));
  const why = h("p", {});
  const unseen = empty(t.unseen, why);
  running.classList.add("running");
  history.element.classList.add("history");
  const known = h("div", { class: "stack jobs-known" }, running, queue.element, history.element);
  const body = h("div", { class: "jobs-grid" }, known, h("div", { class: "stack jobs-new" }, file.element));
  const element = h("div", { class: "stack" }, head, condition.element, none, unseen, body);

  const unwatch = store.watch((state) => {
    const machine = state.machines.get(key);
    const service = state.hosts.get(host)?.job;
    const isThere = Boolean(machine && service?.state && service.state !== "SERVICE_STATE_UNSPECIFIED");
    setText(about, portId ? `${hostName(state, host)} / ${portId}` : "");
    select.update(state, key);
    setHidden(select, state.machines.size < 2);
    setText(why, machine ? "" : whyUnseen(state, host));
    setHidden(unseen, isThere || !state.isLoaded || !why.textContent);
    setHidden(none, isThere || !state.isLoaded || Boolean(why.textContent));
    setHidden(body, !isThere);
    setHidden(condition.element, !isThere);
    if (!isThere) return;
    const job = currentJob(state, key);
    setHidden(running, !job);
    condition.update(job ? {} : machine); // a job that is held has buttons of its own
    if (job) {
      setText(name, job.name);
      progress.update(job);
      controls.update(job, machine);
      drawn.update(job, machine);
    }
    file.update(machine, state);
    queue.update(machine, state);
    history.update(machine, state);
  });
  return {
    element,
    end() {
      unwatch();
      file.end();
    },
  };
}
