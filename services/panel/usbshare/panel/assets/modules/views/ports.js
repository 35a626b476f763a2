// Virtual ports: ports of hosts that programs of this computer open.

import { texts } from "../../texts/en.js";
import { confirm } from "../dialogs.js";
import { h, keyed, replace, setAttribute, setHidden, setText } from "../dom.js";
import { clock } from "../format.js";
import { guarded, reasonLine } from "../rights.js";
import { keyOf, machineKey, machineName } from "../state.js";
import { button, card, check, choice, copyButton, empty, field, machineSelect, pageHead, pill, setPill } from "./parts.js";

const t = texts.ports;
const SERIAL = "LOCAL_PORT_KIND_SERIAL";
const OVER_TCP = ["LOCAL_PORT_KIND_TCP", "LOCAL_PORT_KIND_RFC2217"];
const STATES = { LOCAL_PORT_STATE_STARTING: "busy", LOCAL_PORT_STATE_READY: "ok", LOCAL_PORT_STATE_FAILED: "danger" };

export function portsView({ store, actions }) {
  const list = h("div", { class: "cards wide" });
  const none = empty(t.none, h("p", {}, t.noneHow));
  const form = startForm(store, actions);
  const element = h("div", { class: "stack" }, pageHead(t.title, t.lead), list, none, form.element);
  const end = store.watch((state) => {
    const ports = [...state.localPorts.values()].sort((one, other) => String(one.startTime).localeCompare(String(other.startTime)));
    keyed(list, ports, (port) => port.id, () => portCard(actions, store));
    setHidden(none, ports.length > 0 || !state.isLoaded);
    form.update(state);
  });
  return { element, end };
}

function portCard(actions, store) {
  const name = h("h2", {});
  const state = pill();
  const about = h("p", { class: "small muted" });
  const place = h("code", { class: "place" });
  const copy = copyButton(() => place.textContent, t.copyPlace);
  const placeRow = h("div", { class: "place-row" }, place, copy);
  const reason = h("p", { class: "reason error-text" });
  const keep = check(t.keep, { onchange: () => actions.run({ keepLocalPort: { id: card_.port.id, isKept: keep.input.checked } }) });
  const stop = button(t.stop, onStop);
  const again = button(t.startAgain, onAgain, { kind: "primary" });
  const guide = h("details", {});
  const card_ = h("article", { class: "card stack" }, h("div", { class: "row spread" }, name, state), about, placeRow, reason, guide, keep, h("div", { class: "row" }, stop, again));

  async function onStop() {
    const { port } = card_;
    if (port.isOpen && !(await confirm(t.stop, t.stopSure, t.stop, { isDanger: true }))) return;
    actions.run({ stopLocalPort: { id: port.id } });
  }

  async function onAgain() {
    const { port } = card_;
    again.disabled = true;
    if (await actions.run({ stopLocalPort: { id: port.id } })) {
      const { machine, kind, isBuffered, isKept } = port;
      const where = kind === SERIAL ? { name: port.place ?? "" } : { tcpPort: tcpPortOf(port) };
      await actions.run({ startLocalPort: { machine, kind, isBuffered, isKept, ...where } }, { timeoutMs: 60_000 });
    }
    again.disabled = false;
  }

  card_.update = (port) => {
    card_.port = port;
    setText(name, `${port.hostName || port.machine.host} / ${port.machine.portId}`);
    setPill(state, t.state[port.state] ?? "", STATES[port.state]);
    const parts = [t.kind[port.kind], port.isBuffered ? t.buffered : "", port.isOpen == null ? "" : port.isOpen ? t.open : t.closed, port.startTime ? t.since(clock(port.startTime)) : ""];
    setText(about, parts.filter(Boolean).join(" · "));
    setText(place, port.place);
    setHidden(placeRow, !port.place);
    setText(reason, port.reason ?? "");
    setHidden(reason, !port.reason);
    keep.input.checked = Boolean(port.isKept);
    const isLocal = Boolean(store.state.isLocalPage);
    for (const each of [stop, again, keep.input]) each.disabled = !isLocal;
    setHidden(again, port.state !== "LOCAL_PORT_STATE_FAILED");
    drawGuide(guide, port);
  };
  return card_;
}

function tcpPortOf(port) {
  return OVER_TCP.includes(port.kind) ? Number(/:(\d+)$/.exec(port.place ?? "")?.[1] ?? 0) : 0;
}

/** Where programs find it, without the scheme of a URL, which each program writes in its own way. */
function addressIn(place) {
  return (place ?? "").replace(/^[a-z0-9]+:\/\//, "");
}

function drawGuide(guide, port) {
  const drawn = `${port.kind} ${port.place}`;
  setHidden(guide, !port.place);
  if (guide.dataset.drawn === drawn) return;
  guide.dataset.drawn = drawn;
  const steps = t.guide[port.kind] ?? [];
  replace(
    guide,
    h("summary", {}, t.where),
    h("dl", { class: "guide" }, steps.map(([program, text]) => [h("dt", { class: "strong" }, program), h("dd", {}, text(addressIn(port.place)))])),
  );
}

function startForm(store, actions) {
  let key = "";
  let kind = "";
  const select = machineSelect(store, "", (chosen) => {
    key = chosen;
    update(store.state);
  });
  const kinds = h("div", {});
  const buffered = check(t.bufferedLong);
  const tcpPort = h("input", { class: "input", type: "number", min: 0, max: 65535, value: 0, inputMode: "numeric" });
  const tcpField = field(t.tcpPort, tcpPort, t.tcpHint);
  const nameInput = h("input", { class: "input mono", autocomplete: "off", autocapitalize: "none", spellcheck: false, maxLength: 200 });
  const nameField = field(t.name, nameInput, t.nameHint);
  const keep = check(t.keep);
  const start = button(t.start, onStart, { kind: "primary", name: "plus" });
  const reason = reasonLine("ports-reason");
  const guard = guarded([buffered.input, tcpPort, nameInput, keep.input, start], reason);
  const said = h("p", { class: "small", role: "status" });
  const about = h("p", { class: "muted small" });
  const element = card(t.new, reason, h("div", { class: "stack form" }, field(t.machine, select), kinds, about, nameField, tcpField, buffered, keep, h("div", { class: "row" }, start), said));

  async function onStart() {
    start.disabled = true;
    setText(said, t.starting);
    const wanted = {
      machine: machineKey(key),
      kind,
      isBuffered: buffered.input.checked,
      isKept: keep.input.checked,
      tcpPort: OVER_TCP.includes(kind) ? Number(tcpPort.value) || 0 : 0,
      name: kind === SERIAL ? nameInput.value.trim() : "",
    };
    try {
      await actions.giveWay(key);
      const { localPort } = await actions.request({ startLocalPort: wanted }, { timeoutMs: 60_000 });
      setText(said, localPort?.place ? t.started(localPort.place) : "");
    } catch (failure) {
      setText(said, failure.message);
    }
    start.disabled = false;
  }

  function drawKinds(offered) {
    const drawn = offered.join();
    if (kinds.dataset.drawn === drawn) return;
    kinds.dataset.drawn = drawn;
    if (!offered.includes(kind)) kind = offered[0] ?? "";
    replace(kinds, h("div", { class: "field" }, h("span", { class: "label", aria: { hidden: "true" } }, t.how), choice(t.how, offered.map((each) => [each, t.kind[each]]), kind, (value) => {
      kind = value;
      showKind();
    })));
    showKind();
  }

  function showKind() {
    setHidden(tcpField, !OVER_TCP.includes(kind));
    setHidden(nameField, kind !== SERIAL);
    setText(about, t.about[kind] ?? "");
  }

  function update(state) {
    if (!state.machines.has(key)) key = state.target;
    select.update(state, key);
    drawKinds(state.gateway.localPortKinds ?? []);
    const machine = state.machines.get(key);
    guard(whyNot(state, machine));
    select.disabled = !state.isLocalPage;
    setAttribute(start, "data-machine", key ? machineName(state, key) : null);
  }
  return { element, update };
}

function whyNot(state, machine) {
  if (!state.isLoaded) return t.loading;
  if (!state.isLocalPage) return t.onlyHere;
  if (!machine) return t.noMachine;
  if (!machine.control?.isAllowed) return machine.control?.reason || texts.rights.noControl;
  if (state.localPorts.size && [...state.localPorts.values()].some((port) => keyOf(port.machine) === keyOf(machine.key) && port.state !== "LOCAL_PORT_STATE_FAILED")) return t.alreadyThere;
  return "";
}
