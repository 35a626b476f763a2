// Hosts: what the network, the configuration and people told of, and what each offers.

import { texts } from "../../texts/en.js";
import { h, keyed, replace, setHidden, setText } from "../dom.js";
import { confirm } from "../dialogs.js";
import { durationMs, milliseconds, people, shortFingerprint } from "../format.js";
import { icon } from "../icons.js";
import { holderOf, stateOf } from "../machine_state.js";
import { address } from "../router.js";
import { keyOf } from "../state.js";
import { addHostCard } from "./add_host.js";
import { enrolCard } from "./enrol.js";
import { button, empty, facts, note, pageHead, pill, setPill } from "./parts.js";

const t = texts.hosts;
const ASKED = new Set(["SERVICE_STATE_CONNECTING", "SERVICE_STATE_CONNECTED"]);

export function hostsView({ store, actions }) {
  const problems = h("div", { class: "stack" });
  const enrol = enrolCard(store, actions);
  const preselected = h("div", {});
  const add = addHostCard(store, actions);
  const list = h("div", { class: "cards" });
  const none = empty(t.none, h("p", {}, t.noneHow));
  const element = h(
    "div",
    { class: "stack" },
    pageHead(t.title, t.lead),
    problems,
    enrol.open,
    preselected,
    list,
    none,
    add.element,
    enrol.another,
  );

  const end = store.watch((state) => {
    const gateway = state.gateway;
    replace(problems, gateway.identity && gateway.certificateProblem && note("danger", h("strong", {}, t.certificate), h("p", {}, gateway.certificateProblem)));
    enrol.update(state);
    drawPreselected(preselected, state);
    const hosts = [...state.hosts.values()].sort((one, other) => (one.name ?? "").localeCompare(other.name ?? ""));
    keyed(list, hosts, (host) => host.key, () => hostCard(store, actions));
    setHidden(none, hosts.length > 0 || !state.isLoaded);
    add.update(state);
  });
  return { element, end };
}

function drawPreselected(parent, state) {
  const { host, portId, text } = state.gateway.preselected ?? {};
  const key = keyOf({ host, portId });
  const wanted = state.machines.has(key) ? key : "";
  if (parent.dataset.key === wanted) return;
  parent.dataset.key = wanted;
  replace(
    parent,
    wanted &&
      h(
        "section",
        { class: "card row spread", aria: { label: t.preselected } },
        h("div", {}, h("p", { class: "strong" }, `${state.hosts.get(host)?.name ?? host} / ${portId}`), h("p", { class: "muted small" }, text || t.preselected)),
        h("a", { class: "button primary", href: address("machine", host, portId) }, t.open, icon("right")),
      ),
  );
}

function hostCard(store, actions) {
  const name = h("h2", {});
  const relation = pill();
  const reason = h("p", { class: "reason" });
  const machines = h("ul", { class: "plain stack tight" });
  const cameras = h("p", { class: "small muted" });
  const rows = facts([
    ["address", t.address],
    ["trip", t.roundTrip],
    ["site", t.site],
    ["who", t.whoAmI],
    ["version", t.version],
    ["sources", t.foundBy],
  ]);
  const more = h("details", {}, h("summary", {}, t.details), rows);
  const forget = button(t.forget, async () => {
    const host = element.host;
    if (await confirm(t.forget, t.forgetSure(host.name), t.forget)) actions.run({ forgetHost: { host: host.key } });
  }, { kind: "quiet" });
  const element = h("article", { class: "card stack host" }, h("div", { class: "row spread" }, name, relation), reason, machines, cameras, more, forget);
  element.update = (host) => {
    element.host = host;
    const state = store.state;
    setText(name, host.name || host.key);
    setPill(relation, ...connectionOf(host));
    const why = whyNot(host, state);
    setText(reason, people(why));
    setHidden(reason, !why);
    rows.update({
      address: [host.serial?.target, ...(host.addresses ?? [])].filter(Boolean).slice(0, 3).join(", ") || null,
      trip: host.roundTrip ? milliseconds(durationMs(host.roundTrip)) : null,
      site: host.site ? t.siteIs(shortFingerprint(host.site) || host.site, t.relation[host.relation] ?? "") : null,
      who: host.whoAmI?.identity ?? null,
      version: host.version || null,
      sources: (host.sources ?? []).map((source) => t.source[source] ?? source).join(", ") || null,
    });
    const own = [...state.machines.values()].filter((machine) => machine.key.host === host.key);
    keyed(machines, own.length ? own : announced(host), (machine) => machine.key.portId, () => machineRow(store));
    setHidden(machines, !own.length && !announced(host).length);
    const pictures = [...state.cameras.values()].filter((camera) => camera.key.host === host.key);
    setText(cameras, pictures.length ? t.cameras(pictures.map((camera) => camera.camera?.description || camera.key.cameraId)) : "");
    setHidden(cameras, !pictures.length);
    setHidden(forget, !host.isAdded);
  };
  return element;
}

function announced(host) {
  return (host.announcedPortIds ?? []).map((portId) => ({ key: { host: host.key, portId }, isOnlyAnnounced: true }));
}

function machineRow(store) {
  const name = h("span", { class: "strong" });
  const about = h("span", { class: "small muted" });
  const state = pill();
  const link = h("a", { class: "machine-link" }, h("span", { class: "stack tight" }, name, about), state, icon("right"));
  const element = h("li", {}, link);
  element.update = (machine) => {
    const { host, portId } = machine.key;
    setText(name, portId);
    setText(about, machine.isOnlyAnnounced ? t.announced : [machine.port?.description, holderOf(machine)].filter(Boolean).join(" · "));
    if (machine.isOnlyAnnounced) link.removeAttribute("href");
    else link.href = address("machine", host, portId);
    const { text, tone } = stateOf(store.state, machine);
    setPill(state, text, tone);
    setHidden(state, Boolean(machine.isOnlyAnnounced));
  };
  return element;
}

function whyNot(host, state) {
  if (host.serial?.reason) return host.serial.reason;
  if (host.relation === "SITE_RELATION_FOREIGN") return t.foreignWhy;
  const isAsked = ASKED.has(host.serial?.state);
  return isAsked || state.gateway.identity ? "" : t.notEnrolled;
}

function connectionOf(host) {
  if (host.relation === "SITE_RELATION_FOREIGN") return [t.foreign, "warn"];
  switch (host.serial?.state) {
    case "SERVICE_STATE_CONNECTED":
      return [host.roundTrip ? t.connectedIn(milliseconds(durationMs(host.roundTrip))) : t.connected, "ok"];
    case "SERVICE_STATE_CONNECTING":
      return [t.connecting, "busy"];
    case "SERVICE_STATE_LOST":
      return [t.lost, "danger"];
    case "SERVICE_STATE_REFUSED":
      return [t.refused, "danger"];
    default:
      return [t.notAsked, ""];
  }
}
