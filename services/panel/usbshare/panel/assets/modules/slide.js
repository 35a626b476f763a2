// Press and slide: a button that a brush of a sleeve or a mis-tap does not fire.

import { setAttribute } from "./dom.js";

const FAR_ENOUGH = 0.88;
const HELD_MS = 500;
const ARMED_MS = 3000;

/**
 * Calls `fire()` once for each of: a slide of the knob to the end, Enter or Space held for half a
 * second, two presses of Enter or Space (or two activations by a screen reader) within three seconds.
 * `hint(kind)` is called for a press that was not enough: "slide" or "again".
 */
export function pressAndSlide(button, knob, fire, hint) {
  let start = null;
  let armed = 0;
  let held = 0;

  function room() {
    return Math.max(1, button.clientWidth - knob.offsetWidth);
  }

  function show(distance) {
    knob.style.setProperty("--slide", `${distance}px`);
  }

  function fireNow() {
    disarm();
    endSlide();
    fire();
  }

  function endSlide() {
    start = null;
    setAttribute(button, "data-sliding", null);
    show(0);
  }

  function disarm() {
    clearTimeout(armed);
    clearTimeout(held);
    armed = held = 0;
    setAttribute(button, "data-armed", null);
  }

  function press() {
    if (armed) {
      fireNow();
      return;
    }
    setAttribute(button, "data-armed", "");
    armed = setTimeout(disarm, ARMED_MS);
    hint("again");
  }

  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || button.disabled) return;
    const box = knob.getBoundingClientRect();
    if (event.clientX > box.right + 8) {
      hint("slide");
      return;
    }
    start = { x: event.clientX, pointer: event.pointerId };
    button.setPointerCapture(event.pointerId);
    setAttribute(button, "data-sliding", "");
  });

  button.addEventListener("pointermove", (event) => {
    if (!start || event.pointerId !== start.pointer) return;
    const distance = Math.min(Math.max(0, event.clientX - start.x), room());
    show(distance);
    if (distance >= room() * FAR_ENOUGH) fireNow();
  });

  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(name, (event) => {
      if (!start || event.pointerId !== start.pointer) return;
      endSlide();
      hint("slide");
    });
  }

  button.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    if (event.repeat || button.disabled) return;
    const wasArmed = armed;
    press();
    if (!wasArmed) held = setTimeout(fireNow, HELD_MS);
  });

  button.addEventListener("keyup", (event) => {
    if (event.key === " ") event.preventDefault(); // Firefox clicks here
    clearTimeout(held);
  });

  button.addEventListener("blur", disarm);

  button.addEventListener("click", (event) => {
    if (event.detail === 0) press(); // a screen reader's; a finger's comes with its count
  });
}
