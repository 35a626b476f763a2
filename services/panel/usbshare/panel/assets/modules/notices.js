// Short messages at the edge of the page: what a click came to, when nothing else shows it.

import { sentence, texts } from "../texts/en.js";
import { h } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_MS = 8000;
const MOST = 3;

/** Shows a message; failures stay until they are closed. */
export function notice(text, tone = "") {
  const parent = document.getElementById("notices");
  const close = h("button", { class: "button quiet icon-only", type: "button", aria: { label: texts.close } }, icon("close"));
  const element = h("div", { class: "notice", data: { tone } }, h("p", {}, sentence(text)), close);
  close.addEventListener("click", () => element.remove());
  while (parent.childElementCount >= MOST) parent.firstElementChild.remove();
  parent.append(element);
  if (tone !== "danger") setTimeout(() => element.remove(), SHOWN_MS);
}
