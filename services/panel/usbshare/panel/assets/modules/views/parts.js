// Parts that several views share.

import { texts } from "../../texts/en.js";
import { freshId, h, keyed, setAttribute, setHidden, setText } from "../dom.js";
import { icon } from "../icons.js";
import { notice } from "../notices.js";
import { sortedMachines } from "../state.js";

/** The heading of a page. */
export function pageHead(title, lead = "", ...right) {
  return h("div", { class: "page-head" }, h("div", {}, h("h1", {}, title), lead && h("p", {}, lead)), right.length > 0 && h("div", { class: "row" }, right));
}

/** A card with a heading. */
export function card(title, ...children) {
  const id = freshId("card");
  return h("section", { class: "card", aria: { labelledby: id } }, h("h2", { id }, title), ...children);
}

/** A card whose heading has something at its right. */
export function cardWith(title, right, ...children) {
  const id = freshId("card");
  const head = h("div", { class: "card-head" }, h("h2", { id }, title), right);
  return h("section", { class: "card", aria: { labelledby: id } }, head, ...children);
}

export function button(text, onclick, { kind = "", name = "", label = null, type = "button" } = {}) {
  const label_ = text ? h("span", {}, text) : null;
  const classes = ["button", kind, text ? "" : "icon-only"].filter(Boolean).join(" ");
  return h("button", { class: classes, type, onclick, title: label, aria: { label } }, name && icon(name), label_);
}

export function pill(text = "", tone = "") {
  return h("span", { class: "pill", data: { tone } }, text);
}

export function setPill(element, text, tone) {
  setText(element, text);
  setAttribute(element, "data-tone", tone || "");
}

/** A label with its field; `hint` explains it. */
export function field(label, input, hint = "") {
  if (!input.id) input.id = freshId("field");
  const hintElement = hint && h("p", { class: "hint", id: freshId("hint") }, hint);
  if (hintElement) setAttribute(input, "aria-describedby", hintElement.id);
  return h("div", { class: "field" }, h("label", { htmlFor: input.id }, label), input, hintElement);
}

export function check(label, props = {}) {
  const input = h("input", { type: "checkbox", ...props });
  const element = h("label", { class: "check" }, input, h("span", {}, label));
  element.input = input;
  return element;
}

/** Alternatives of which one is chosen. `options` are `[value, text]`; calls `onchange(value)`. */
export function choice(legend, options, value, onchange) {
  const name = freshId("choice");
  const inputs = options.map(([each, text]) => {
    const input = h("input", { type: "radio", name, value: each, checked: each === value, onchange: () => onchange(each) });
    return h("label", {}, input, h("span", {}, text));
  });
  return h("fieldset", { class: "choice" }, h("legend", { class: "visually-hidden" }, legend), inputs);
}

/** Names and values, kept up to date by `update({name: value})`; a null value hides its row. */
export function facts(rows) {
  const element = h("dl", { class: "facts" });
  const cells = new Map();
  for (const [name, title] of rows) {
    const term = h("dt", {}, title);
    const value = h("dd", {});
    element.append(term, value);
    cells.set(name, { term, value });
  }
  element.update = (values) => {
    for (const [name, text] of Object.entries(values)) {
      const { term, value } = cells.get(name);
      setText(value, text);
      setHidden(term, text == null);
      setHidden(value, text == null);
    }
  };
  return element;
}

/** A bar with a role; `update(part)` takes 0 to 1. */
export function progressBar(label) {
  const fill = h("span", {});
  const element = h("div", { class: "bar", role: "progressbar", aria: { label, valuemin: 0, valuemax: 100 } }, fill);
  element.update = (part) => {
    const within = Math.min(1, Math.max(0, part || 0));
    fill.style.setProperty("--part", within);
    setAttribute(element, "aria-valuenow", Math.round(within * 100));
  };
  return element;
}

/** A box that says why there is nothing. */
export function empty(title, ...children) {
  return h("div", { class: "empty" }, h("strong", {}, title), ...children);
}

/** Something a person should notice in place. */
export function note(tone, ...children) {
  return h("div", { class: "note", data: { tone } }, ...children);
}

/** A button that copies `text()`. */
export function copyButton(text, label) {
  const element = button(texts.copy, copy, { name: "copy", label });
  async function copy() {
    if (await written(text())) {
      setText(element.lastChild, texts.copied);
      setTimeout(() => setText(element.lastChild, texts.copy), 2000);
    } else {
      notice(texts.copyFailed, "danger");
    }
    element.focus();
  }
  return element;
}

/** Writes to the clipboard; resolves to whether that was allowed. */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return selectedAndCopied(text); // a page over plain HTTP from another computer has no clipboard
  }
}

function selectedAndCopied(text) {
  const field = h("textarea", { class: "visually-hidden", value: text, readOnly: true });
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}

/** A choice of machine; `onchange(key)`. */
export function machineSelect(store, key, onchange) {
  const select = h("select", { class: "input", onchange: () => onchange(select.value) });
  select.update = (state, chosen = key) => {
    keyed(select, sortedMachines(state), (each) => each.key, (each) => {
      const option = h("option", { value: each.key });
      option.update = (item) => setText(option, item.name);
      return option;
    });
    if (state.machines.has(chosen) && select.value !== chosen) select.value = chosen;
  };
  select.update(store.state);
  return select;
}
