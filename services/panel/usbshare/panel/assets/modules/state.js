// The state of the page, and how the gateway's events change it.

import { texts } from "../texts/en.js";

const MOST_CONSOLE_LINES = 1000;
const MOST_AUDIT_ENTRIES = 500;
const LATENCY_KEPT_MS = 5 * 60 * 1000;

export function emptyState() {
  return {
    connection: { isOpen: false, wasOpen: false, since: new Date() },
    isLoaded: false, // a snapshot came
    isLocalPage: false, // the page is on the computer that the panel runs on
    target: "", // the key of the machine that the stop bar stops
    gateway: {},
    hosts: new Map(),
    machines: new Map(),
    cameras: new Map(),
    jobs: new Map(),
    localPorts: new Map(),
    consoles: new Map(),
    audits: new Map(),
    latencies: new Map(),
    progress: new Map(), // by the number of a request or upload
    asked: new Map(), // who asks for control, by machine
    jogEnded: null,
  };
}

/** One text for a MachineKey. */
export const keyOf = (machine) => `${machine?.host ?? ""}\n${machine?.portId ?? ""}`;

/** The MachineKey behind a text. */
export function machineKey(key) {
  const [host, portId] = key.split("\n");
  return { host, portId };
}

const cameraKey = (camera) => `${camera.host ?? ""}\n${camera.cameraId ?? ""}`;
const jobKey = (hostJob) => `${hostJob.host}\n${hostJob.job.jobId}`;

const CHANGES = {
  snapshot(state, snapshot) {
    state.isLoaded = true;
    state.isLocalPage = Boolean(snapshot.isLocalPage);
    state.gateway = snapshot.gateway ?? {};
    state.hosts = new Map((snapshot.hosts ?? []).map((host) => [host.key, host]));
    state.machines = new Map((snapshot.machines ?? []).map((machine) => [keyOf(machine.key), received(machine)]));
    state.cameras = new Map((snapshot.cameras ?? []).map((camera) => [cameraKey(camera.key), camera]));
    state.jobs = new Map((snapshot.jobs ?? []).map((job) => [jobKey(job), job]));
    state.localPorts = new Map((snapshot.localPorts ?? []).map((port) => [port.id, port]));
    state.consoles.clear(); // it sends the kept lines again
    state.audits.clear();
    state.asked.clear();
  },
  progress: (state, progress) => state.progress.set(progress.requestId, progress),
  gatewayChanged: (state, gateway) => (state.gateway = gateway),
  hostChanged: (state, host) => state.hosts.set(host.key, host),
  hostRemoved(state, key) {
    state.hosts.delete(key);
    for (const map of [state.machines, state.cameras, state.jobs]) {
      for (const id of [...map.keys()]) if (id.startsWith(`${key}\n`)) map.delete(id);
    }
  },
  machineChanged: (state, machine) => state.machines.set(keyOf(machine.key), received(machine)),
  machineRemoved: (state, key) => state.machines.delete(keyOf(key)),
  cameraChanged: (state, camera) => state.cameras.set(cameraKey(camera.key), camera),
  cameraRemoved: (state, key) => state.cameras.delete(cameraKey(key)),
  jobChanged: (state, job) => state.jobs.set(jobKey(job), job),
  jobRemoved: (state, job) => state.jobs.delete(jobKey(job)),
  localPortChanged: (state, port) => state.localPorts.set(port.id, port),
  localPortRemoved: (state, id) => state.localPorts.delete(id),
  console(state, { machine, lines }) {
    const key = keyOf(machine);
    const known = state.consoles.get(key) ?? [];
    const last = Number(known.at(-1)?.number ?? -1);
    const fresh = (lines ?? []).filter((line) => Number(line.number ?? 0) > last);
    state.consoles.set(key, [...known, ...fresh].slice(-MOST_CONSOLE_LINES));
  },
  jogEnded: (state, ended) => (state.jogEnded = ended),
  controlAsked: (state, asked) => state.asked.set(keyOf(asked.machine), asked),
  latency(state, latency) {
    const key = keyOf(latency.machine);
    const now = performance.now();
    const past = (latency.past ?? []).map((each) => ({ ...each, receivedAt: now - (Date.parse(latency.time) - Date.parse(each.time)) }));
    const known = past.length ? past : (state.latencies.get(key) ?? []); // the past comes when the page shows it anew
    const kept = known.filter((each) => now - each.receivedAt < LATENCY_KEPT_MS);
    state.latencies.set(key, [...kept, { ...latency, past: undefined, receivedAt: now }]);
  },
  audit(state, { host, entries, reason, lost, filter }) {
    const log = state.audits.get(host);
    if (log && (log.filter ?? "") !== (filter ?? "")) return; // asked for before the filter was changed
    const known = log?.entries ?? [];
    const numbers = new Set(known.map((each) => each.number));
    const fresh = (entries ?? []).filter((each) => !numbers.has(each.number));
    const shown = [...known, ...fresh].slice(-MOST_AUDIT_ENTRIES);
    state.audits.set(host, { entries: shown, reason: reason ?? "", lost: Number(lost ?? log?.lost ?? 0), filter: filter ?? "" });
  },
};

/** Applies one event; one of a newer gateway that this page does not know is ignored. */
export function apply(state, event) {
  for (const [name, value] of Object.entries(event)) CHANGES[name]?.(state, value);
}

function received(machine) {
  return { ...machine, receivedAt: performance.now() };
}

/** The host's name for people. */
export function hostName(state, key) {
  return state.hosts.get(key)?.name || key;
}

/** Whether a host answers and refuses this computer. */
export const isRefused = (state, key) => state.hosts.get(key)?.serial?.state === "SERVICE_STATE_REFUSED";

/** Why nothing is seen of a host's machines; empty where nothing hinders that. */
export function whyUnseen(state, key) {
  const { serial } = state.hosts.get(key) ?? {};
  if (isRefused(state, key)) return serial.reason || texts.hosts.refused;
  return serial?.state === "SERVICE_STATE_LOST" ? serial.reason || texts.hosts.lost : "";
}

/** The machine's name for people, with its host's. */
export function machineName(state, key) {
  const { host, portId } = machineKey(key);
  return `${hostName(state, host)} / ${portId}`;
}

/** Machines, sorted by the names of their hosts and their own. */
export function sortedMachines(state) {
  return [...state.machines.entries()]
    .map(([key, machine]) => ({ key, machine, name: machineName(state, key) }))
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** Jobs of a machine: what runs or is held first, then the queue in its order. */
export function jobsOf(state, key) {
  const { host, portId } = machineKey(key);
  return [...state.jobs.values()]
    .filter((each) => each.host === host && each.job.portId === portId)
    .map((each) => each.job)
    .sort((one, other) => (one.place ?? 0) - (other.place ?? 0) || Number(one.jobId) - Number(other.jobId));
}

/** The job that runs or is held on a machine. */
export function currentJob(state, key) {
  return jobsOf(state, key).find((job) => ["JOB_STATE_RUNNING", "JOB_STATE_HELD"].includes(job.state));
}
