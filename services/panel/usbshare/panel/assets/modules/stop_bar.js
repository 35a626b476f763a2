// HOLD and EMERGENCY on every page: which machine they stop, and how quickly it answered.

import { texts } from "../texts/en.js";
import { h, isTyping, keyed, setAttribute, setHidden, setText } from "./dom.js";
import { milliseconds } from "./format.js";
import { icon } from "./icons.js";
import { pressAndSlide } from "./slide.js";

const LATE_MS = 1000;
const SHOWN_MS = 30_000;
const TWICE_MS = 700;

/**
 * Fills the bar. `machines(state)` lists what can be stopped as `{key, name, problem}`, `stop(key, action)`
 * resolves to the answer, `choose(key)` changes the target `state.target`.
 */
export function stopBar(root, { store, machines, stop, choose }) {
  const t = texts.stop;
  const hold = h("button", { class: "hold-button", type: "button", id: "hold", aria: { describedby: "stop-what" } }, t.hold);
  const knob = h("span", { class: "emergency-knob" }, icon("slide"));
  const label = h("span", { class: "emergency-label" }, t.emergency, h("small", {}, t.slide));
  const emergency = h(
    "button",
    { class: "emergency", type: "button", id: "emergency", aria: { label: t.emergencyLabel, describedby: "stop-what stop-how" } },
    knob,
    label,
  );
  const how = h("span", { id: "stop-how", hidden: true }, t.emergencyHow);
  const select = h("select", { aria: { label: t.which }, onchange: () => choose(select.value) });
  const what = h("p", { class: "stop-what", id: "stop-what" });
  const answer = h("p", { class: "stop-answer", role: "status", aria: { live: "assertive", atomic: "true" } });
  const hint = h("p", { class: "stop-hint" }, h("kbd", {}, t.key), " ", h("kbd", {}, t.key), ` ${t.hold}`);
  const target = h("div", { class: "stop-target" }, select, what, answer, hint);
  root.append(hold, emergency, how, target);

  let shownUntil = 0;
  let order = 0; // an answer that comes after a later click's is not shown
  let connection = { isOpen: false, since: null };

  function say(text, kind = "") {
    setText(answer, text);
    answer.title = text; // where it is cut
    setAttribute(answer, "data-kind", kind || null);
    setAttribute(target, "data-says", text ? "" : null);
    setHidden(hint, Boolean(text));
  }

  async function act(action, name) {
    const key = store.state.target;
    if (!key) return;
    const mine = ++order;
    const machine = nameOf(key);
    const clickedAt = performance.now();
    shownUntil = clickedAt + SHOWN_MS;
    const show = (text, kind) => {
      if (mine !== order) return;
      shownUntil = performance.now() + SHOWN_MS;
      say(text, kind);
    };
    show(connection.isOpen ? t.sent(name, machine) : t.notSentYet(name), "waiting");
    const late = setTimeout(() => show(t.late(name, machine), "failed"), LATE_MS);
    try {
      const result = await stop(key, action);
      show(done(name, machine, performance.now() - clickedAt, result), "done");
    } catch (failure) {
      show(t.failed(name, machine, failure.message), "failed");
    } finally {
      clearTimeout(late);
    }
  }

  function nameOf(key) {
    return machines(store.state).find((each) => each.key === key)?.name ?? key;
  }

  const doHold = () => act("STOP_ACTION_HOLD", t.hold);
  const doEmergency = () => act("STOP_ACTION_EMERGENCY_STOP", t.emergency);

  hold.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && !hold.disabled) doHold(); // not at the release: a tenth of a second earlier
  });
  hold.addEventListener("click", (event) => {
    if (event.detail === 0) doHold(); // keyboard and screen reader
  });
  pressAndSlide(emergency, knob, doEmergency, (kind) => say(kind === "again" ? t.again : t.slideHint, "waiting"));

  let escapedAt = -Infinity;
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.repeat || isTyping(event.target)) return;
    const now = performance.now();
    const isSecond = now - escapedAt < TWICE_MS;
    escapedAt = isSecond ? -Infinity : now;
    if (isSecond) doHold();
  });

  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--stop-height", `${root.offsetHeight}px`);
  }).observe(root);

  store.watch((state) => {
    connection = state.connection;
    const known = machines(state);
    const chosen = known.find((each) => each.key === state.target);
    keyed(select, known, (each) => each.key, (each) => {
      const option = h("option", { value: each.key });
      option.update = (item) => setText(option, t.stops(item.name));
      return option;
    });
    if (chosen && select.value !== chosen.key) select.value = chosen.key;
    select.hidden = known.length < 2;
    setText(what, chosen ? t.stops(chosen.name) : t.nothing);
    setAttribute(what, "class", known.length < 2 ? "stop-what" : "visually-hidden");
    hold.disabled = emergency.disabled = !chosen;
    setAttribute(hint, "data-off", chosen ? null : "");
    setAttribute(root, "data-down", state.connection.isOpen && !chosen?.problem ? null : "");
    if (performance.now() < shownUntil) return;
    if (!state.connection.isOpen && state.connection.wasOpen) say(t.down(state.connection.since), "failed");
    else if (chosen?.problem) say(t.unreachable(chosen.problem), "failed");
    else say("");
  });
}

function done(name, machine, elapsedMs, result) {
  const t = texts.stop;
  const parts = [t.answered(name, machine, milliseconds(elapsedMs))];
  if (result.writeDelayMs != null) parts.push(t.written(milliseconds(result.writeDelayMs)));
  if (result.sentNothing) parts.push(t.sentNothing);
  if (result.latched) parts.push(t.latched);
  return parts.join("; ");
}
