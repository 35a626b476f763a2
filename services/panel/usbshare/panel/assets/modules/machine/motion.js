// Jog, home, zero, go to zero, frame.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { JogLease } from "../jog_lease.js";
import { whyBusy, whyMoving, whyNoHoming, whyNoWork } from "../refusal.js";
import { guardedBeside, reasonLine, sayReason, whyNotControl } from "../rights.js";
import { jobsOf, machineKey } from "../state.js";
import { button, cardWith, choice, field } from "../views/parts.js";
import { FEED, frameDialog } from "./frame.js";
import { jogPad } from "./jog_pad.js";

const t = texts.motion;
const HELD = "held";
const STEPS = [["0.1", "0.1"], ["1", "1"], ["10", "10"], ["50", "50"], [HELD, t.held]];
const LONG_MS = 180_000;

export function motionCard({ actions, key, socket, store }) {
  const machine = machineKey(key);
  const said = h("p", { class: "small", role: "status" });
  const lease = new JogLease(socket, (isMoving) => {
    setText(said, isMoving ? t.moving : "");
    if (!isMoving) pad.ended();
  });
  let size = "10";
  const feedInput = h("input", { class: "input", type: "number", min: 1, max: 60000, step: 10, value: FEED, inputMode: "numeric" });
  const feed = () => Number(feedInput.value) || FEED;
  feedInput.addEventListener("change", () => {
    const { rangeUnderflow, rangeOverflow } = feedInput.validity;
    if (!feedInput.value || rangeUnderflow || rangeOverflow) feedInput.value = FEED;
  });

  const pad = jogPad({
    isHeld: () => size === HELD,
    step: (direction) => step(direction),
    begin: (direction) => begin(direction),
    end: () => lease.end(),
    cancel: () => cancel(),
    hint: () => setText(said, t.chooseStep),
  });
  const sizes = choice(t.stepOf, STEPS, size, (value) => {
    size = value;
    pad.setHeld(size === HELD);
  });
  sizes.classList.add("steps");
  pad.setHeld(false);

  async function step({ x = 0, y = 0, z = 0 }) {
    const far = Number(size);
    const jogStep = { machine, xMm: x * far, yMm: y * far, zMm: z * far, feed: feed() };
    await actions.run({ jogStep }, { timeoutMs: LONG_MS }); // it waits for the steps before
  }

  async function begin({ x = 0, y = 0, z = 0 }) {
    const long = Math.hypot(x, y, z);
    try {
      await lease.begin(machine, { x: x / long, y: y / long, z: z / long }, feed());
    } catch (failure) {
      setText(said, failure.message);
      // The finger is still down, or not any more: a code must never begin a motion by itself.
      if (failure.needsSecondFactor && (await actions.confirm(machine.host))) setText(said, t.pressAgain);
    }
  }

  function cancel() {
    lease.end();
    actions.cancelMotion(machine);
  }

  const home = button(t.home, goHome, { name: "home" });
  let isHoming = false;

  async function goHome() {
    if (isHoming) return; // once, however quickly somebody clicks
    isHoming = true;
    try {
      await actions.run({ home: { machine } }, { timeoutMs: LONG_MS });
    } finally {
      isHoming = false;
    }
  }

  const goToZero = button(t.goToZero, () => actions.run({ goToZero: { machine, axes: "XY", feed: feed() } }, { timeoutMs: LONG_MS }));
  const frame = button(t.frame, () => frameDialog(actions, store, key, feed()));
  const unlock = button(t.unlock, () => actions.run({ unlock: { machine } }));
  const reason = reasonLine("motion-reason");
  const [guardFields, guardPad, guardHome, guardUnlock, guardMoves] = [
    [...sizes.querySelectorAll("input"), feedInput],
    pad.controls,
    [home],
    [unlock],
    [goToZero, frame],
  ].map((controls) => guardedBeside(controls, reason.id));
  const activity = h("p", { class: "small strong", role: "status" });
  const element = cardWith(
    t.title,
    activity,
    h("div", { class: "motion" }, pad, h("div", { class: "stack" }, h("div", { class: "field" }, h("span", { class: "label", aria: { hidden: "true" } }, t.stepOf), sizes), field(t.feed, feedInput), said)),
    h("div", { class: "row motion-actions" }, home, unlock, goToZero, frame),
    reason, // at the end: the pad must not move when it comes or goes
  );

  function update(current, state) {
    const why = whyNotControl(current) || whyNotJog(current);
    const needsCode = current.control?.needsCode;
    const refusal = why || whyNoWork(current);
    if (refusal) lease.end(); // its release might not be seen any more
    guardFields(why, needsCode);
    guardPad(refusal || whyBusy(current), needsCode);
    guardAtRest(current, state, why, needsCode);
    sayReason(reason, refusal, needsCode);
    pad.middle.disabled = !current.control?.isAllowed;
    setText(activity, current.activity ?? "");
    const ended = state.jogEnded;
    if (ended && ended.lease === lease.number && lease.number) {
      lease.end();
      if (ended.reason) setText(said, ended.reason);
    }
    if (!state.connection.isOpen) lease.end();
  }

  /** What needs a machine at rest; that it moves is said by its state, and by these buttons' titles. */
  function guardAtRest(current, state, why, needsCode) {
    const moving = whyMoving(current);
    const noHome = current.abilities?.canHome ? "" : t.cannotHome;
    guardHome((home.title = why || whyNoHoming(current) || noHome || moving), needsCode);
    guardUnlock(why || whyNoHoming(current), needsCode);
    setHidden(unlock, current.report?.state !== "Alarm");
    const noJob = jobsOf(state, key).length ? "" : t.frameNeedsJob;
    guardMoves((goToZero.title = why || whyNoWork(current) || moving), needsCode);
    frame.title = goToZero.title || noJob;
    if (noJob) frame.disabled = true;
  }

  function whyNotJog(current) {
    if (!current.abilities || current.abilities.canJog) return "";
    return current.port?.state === "PORT_STATE_AVAILABLE" ? t.notOpened : t.cannotJog;
  }

  const onLost = store.watch((state) => {
    if (!state.connection.isOpen) lease.end();
  });
  return {
    element,
    update,
    end() {
      onLost();
      lease.close();
    },
  };
}
