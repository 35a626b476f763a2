// Directions under finger, mouse and keys: a step for each press, or motion for as long as it is held.

import { texts } from "../../texts/en.js";
import { h, setAria, setAttribute } from "../dom.js";
import { icon } from "../icons.js";

const t = texts.motion;
const STRAY_PX = 28; // a finger that has slid off its button means something else

const DIRECTIONS = [
  { name: "northWest", x: -1, y: 1, turn: 315 },
  { name: "north", x: 0, y: 1, turn: 0, key: "ArrowUp" },
  { name: "northEast", x: 1, y: 1, turn: 45 },
  { name: "west", x: -1, y: 0, turn: 270, key: "ArrowLeft" },
  null,
  { name: "east", x: 1, y: 0, turn: 90, key: "ArrowRight" },
  { name: "southWest", x: -1, y: -1, turn: 225 },
  { name: "south", x: 0, y: -1, turn: 180, key: "ArrowDown" },
  { name: "southEast", x: 1, y: -1, turn: 135 },
];
const UP = { name: "up", z: 1, turn: 0, key: "PageUp" };
const DOWN = { name: "down", z: -1, turn: 180, key: "PageDown" };

/**
 * Returns the pad. `isHeld()` says which mode is chosen; `step(direction)`, `begin(direction)` and `end()`
 * do it; `cancel()` is the button in the middle; `hint()` is called where a hold is needed.
 */
export function jogPad({ isHeld, step, begin, end, cancel, hint }) {
  const buttons = [];
  const byKey = new Map();
  const middle = h("button", { class: "button jog-stop", type: "button", onclick: cancel, aria: { label: t.cancel } }, t.stop);
  const plane = h("div", { class: "jog-plane" }, DIRECTIONS.map((each) => (each ? arrow(each) : middle)));
  const height = h("div", { class: "jog-height" }, arrow(UP), h("span", { class: "jog-axis", aria: { hidden: "true" } }, "Z"), arrow(DOWN));
  const pad = h("div", { class: "jog-pad", role: "group", aria: { label: t.pad } }, plane, height);
  let heldKey = null;

  function arrow(direction) {
    const picture = icon("up");
    picture.classList.add(`turn-${direction.turn}`);
    const element = h("button", { class: "button jog", type: "button", aria: { label: t.direction[direction.name] }, title: direction.key ? t.keyIs(direction.key) : "" }, picture);
    element.direction = direction;
    buttons.push(element);
    if (direction.key) byKey.set(direction.key, element);
    element.addEventListener("pointerdown", (event) => pressed(element, event));
    element.addEventListener("click", (event) => clicked(element, event));
    element.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
    return element;
  }

  function pressed(element, event) {
    if (event.button !== 0 || element.disabled || !isHeld()) return;
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const box = element.getBoundingClientRect();
    const stop = new AbortController();
    const over = () => {
      stop.abort();
      release(element);
    };
    const strayed = (move) => {
      if (isFar(box, move)) over();
    };
    const options = { signal: stop.signal };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(name, over, options);
      // A button that is disabled meanwhile gets no events of its own in every browser.
      addEventListener(name, (other) => other.pointerId === event.pointerId && over(), { ...options, capture: true });
    }
    element.addEventListener("pointermove", strayed, options);
    hold(element);
  }

  function isFar(box, { clientX, clientY }) {
    return clientX < box.left - STRAY_PX || clientX > box.right + STRAY_PX || clientY < box.top - STRAY_PX || clientY > box.bottom + STRAY_PX;
  }

  function hold(element) {
    setAttribute(element, "data-moving", "");
    begin(element.direction);
  }

  function release(element) {
    setAttribute(element, "data-moving", null);
    end();
  }

  function clicked(element, event) {
    if (!isHeld()) step(element.direction);
    else if (event.detail === 0 && !heldKey) hint(); // a screen reader clicks, it cannot hold
  }

  pad.addEventListener("keydown", (event) => {
    const element = byKey.get(event.key) ?? (isHeld() && [" ", "Enter"].includes(event.key) ? event.target.closest(".jog") : null);
    if (!element || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    if (event.repeat || element.disabled || heldKey) return;
    if (!isHeld()) {
      step(element.direction);
      return;
    }
    heldKey = { key: event.key, element };
    hold(element);
  });
  const keyOver = () => {
    if (!heldKey) return;
    release(heldKey.element);
    heldKey = null;
  };
  pad.addEventListener("keyup", (event) => {
    if (heldKey?.key !== event.key) return;
    event.preventDefault();
    keyOver();
  });
  pad.addEventListener("focusout", keyOver);

  /** Shows that nothing moves any more, whoever ended it. */
  pad.ended = () => {
    heldKey = null;
    for (const element of buttons) setAttribute(element, "data-moving", null);
  };
  pad.controls = buttons;
  pad.middle = middle;
  pad.setHeld = (held) => setAria(pad, { description: held ? t.padHeld : t.padStep });
  return pad;
}
