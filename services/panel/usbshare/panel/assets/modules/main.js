// Puts the page together: connection, state, stop bar, navigation, and the view that the address names.

import { texts } from "../texts/en.js";
import { Actions } from "./actions.js";
import { connectionLine } from "./connection.js";
import { h, replace, setAria } from "./dom.js";
import { keepFocus } from "./focus.js";
import { people } from "./format.js";
import { icon } from "./icons.js";
import { stateOf } from "./machine_state.js";
import { notice } from "./notices.js";
import { address, go, watch } from "./router.js";
import { Socket, State } from "./socket.js";
import { apply, emptyState, keyOf, machineKey, machineName, sortedMachines, whyUnseen } from "./state.js";
import { stopBar } from "./stop_bar.js";
import { Store } from "./store.js";
import { accessView } from "./views/access.js";
import { doctorView } from "./views/doctor.js";
import { hostsView } from "./views/hosts.js";
import { jobsView } from "./views/jobs.js";
import { latencyView } from "./views/latency.js";
import { machineView } from "./views/machine.js";
import { moreView } from "./views/more.js";
import { portsView } from "./views/ports.js";

const PAGES = {
  hosts: { view: hostsView },
  machine: { view: machineView, ofMachine: true },
  jobs: { view: jobsView, ofMachine: true },
  ports: { view: portsView },
  access: { view: accessView, isMore: true },
  doctor: { view: doctorView, isMore: true },
  latency: { view: latencyView, ofMachine: true, isMore: true },
  more: { view: moreView, isOnlyNarrow: true },
};
const TARGET_KEY = "usbshare.target";

const store = new Store(emptyState());
const socket = new Socket(socketAddress(), onEvent, onConnection);
const actions = new Actions(socket, store);
let shown = { page: "", end: () => {}, show: {} };

function socketAddress() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/socket${location.search}`;
}

function onEvent(event) {
  store.update((state) => {
    apply(state, event);
    if (event.snapshot || event.machineChanged || event.machineRemoved) keepTarget(state);
  });
  if (event.controlAsked) tellAsked(event.controlAsked);
}

function tellAsked({ machine, who }) {
  notice(texts.control.askedSee(people(who), machineName(store.state, keyOf(machine))));
}

function onConnection(connection) {
  const isOpen = connection === State.OPEN;
  store.update((state) => {
    const before = state.connection;
    if (before.isOpen === isOpen) return;
    state.connection = { isOpen, wasOpen: true, since: new Date() };
  });
  if (isOpen) socket.tell({ show: shown.show });
}

/**
 * The stop bar's machine: what a bare `usbshare-bridge` would take, else the first. Only while there is none: one
 * that is gone for a while is never replaced by another, which somebody would stop in its place.
 */
function keepTarget(state) {
  if (state.target) return;
  const { host, portId } = state.gateway.preselected ?? {};
  const wanted = [remembered(), keyOf({ host, portId })].find((key) => state.machines.has(key));
  state.target = wanted ?? sortedMachines(state)[0]?.key ?? "";
}

function remembered() {
  try {
    return sessionStorage.getItem(TARGET_KEY) ?? "";
  } catch {
    return "";
  }
}

function choose(key) {
  try {
    sessionStorage.setItem(TARGET_KEY, key);
  } catch {
    // It is chosen until the page is closed.
  }
  store.update((state) => (state.target = key));
}

/** Says which machines' consoles and the like this page shows. */
function tellShown(show) {
  shown.show = show;
  socket.tell({ show });
}

function stoppable(state) {
  const known = sortedMachines(state).map(({ key, machine, name }) => ({ key, name, problem: problemOf(state, machine) }));
  if (!state.target || state.machines.has(state.target)) return known;
  const problem = whyUnseen(state, machineKey(state.target).host) || texts.stop.gone;
  return [...known, { key: state.target, name: machineName(state, state.target), problem }];
}

function problemOf(state, machine) {
  const unseen = whyUnseen(state, machine.key.host);
  if (unseen) return unseen;
  if (machine.stop && !machine.stop.isAllowed) return machine.stop.reason || texts.rights.noStop;
  return "";
}

// ---- Frame

function drawTopBar() {
  const buttons = ["system", "light", "dark"];
  const icons = { system: "system", light: "sun", dark: "moon" };
  const button = h("button", { class: "button quiet icon-only", type: "button" });
  const draw = () => {
    const choice = window.usbshareTheme.chosen();
    replace(button, icon(icons[choice]));
    setAria(button, { label: texts.theme[choice] });
    button.title = texts.theme[choice];
  };
  button.addEventListener("click", () => {
    const next = buttons[(buttons.indexOf(window.usbshareTheme.chosen()) + 1) % buttons.length];
    window.usbshareTheme.choose(next);
    draw();
  });
  draw();
  const brand = h("a", { class: "brand", href: address("hosts") }, icon("mark"), texts.product);
  document.getElementById("top-bar").append(brand, button);
}

function drawNavigation() {
  const links = Object.entries(PAGES).map(([page, { isMore, isOnlyNarrow }]) => {
    const label = h("span", {}, texts.pages[page].short);
    const link = h("a", { href: address(page), data: { page } }, icon(page), label);
    return h("li", { class: isMore ? "wide-only" : isOnlyNarrow ? "narrow-only" : "" }, link);
  });
  document.getElementById("navigation").append(h("ul", { class: "plain" }, links));
}

function markCurrent(page) {
  const isMore = PAGES[page].isMore;
  for (const link of document.querySelectorAll("#navigation a")) {
    const name = link.dataset.page;
    setAria(link, { current: name === page || (name === "more" && isMore) ? "page" : null });
    const ofMachine = PAGES[name].ofMachine;
    link.href = ofMachine && store.state.target ? address(name, ...store.state.target.split("\n")) : address(name);
  }
}

function onAddress({ page, parameters }) {
  const name = PAGES[page] ? page : "hosts";
  const { view, ofMachine } = PAGES[name];
  if (ofMachine && !parameters.length && store.state.target) {
    go(name, ...store.state.target.split("\n"));
    return;
  }
  if (ofMachine && parameters.length === 2) choose(parameters.join("\n"));
  const isFirst = !shown.page;
  shown.end();
  shown = { page: name, end: () => {}, show: {} };
  markCurrent(name);
  const main = document.getElementById("main");
  const context = { store, actions, socket, parameters, tellShown, key: parameters.slice(0, 2).join("\n"), choose };
  socket.tell({ show: {} });
  const { element, end } = view(context);
  shown.end = end ?? (() => {});
  replace(main, element);
  showTitle(store.state);
  for (const old of document.querySelectorAll("#notices .notice:not([data-tone=danger])")) old.remove();
  window.scrollTo(0, 0);
  if (!isFirst) main.focus({ preventScroll: true }); // at the beginning Tab leads to HOLD
}

/** The tab says what the stop bar's machine does, for those who look at another one. */
function showTitle(state) {
  const machine = state.machines.get(state.target);
  const what = machine ? `${stateOf(state, machine).text} · ${machine.key.portId} · ` : "";
  const title = `${what}${texts.pages[shown.page || "hosts"].title} · ${texts.product}`;
  if (document.title !== title) document.title = title;
}

/** A page of one machine that was opened before any was known moves on to it. */
function followTarget(state) {
  showTitle(state);
  markCurrent(shown.page || "hosts");
  const page = PAGES[shown.page];
  if (page?.ofMachine && state.target && !location.hash.split("/")[2]) go(shown.page, ...state.target.split("\n"));
}

/** A key that stays down presses a button once: browsers repeat clicks by Enter, and each could move a machine. */
function onlyOncePerPress() {
  const stop = (event) => {
    if (event.repeat && ["Enter", " "].includes(event.key) && event.target.closest("button")) event.preventDefault();
  };
  document.addEventListener("keydown", stop, { capture: true });
}

drawTopBar();
drawNavigation();
stopBar(document.getElementById("stop-bar"), {
  store,
  machines: stoppable,
  stop: (key, action) => actions.stop(key, action),
  choose,
});
onlyOncePerPress();
keepFocus(document.getElementById("main"));
connectionLine(document.getElementById("lost"), store, () => socket.retryNow());
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address behind # names the page
  document.getElementById("main").focus();
});
watch(onAddress);
store.watch(followTarget);
socket.start();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js").catch(() => {});
