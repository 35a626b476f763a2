// Questions to the person. Never modal for the stop bar: a `<dialog>` shown modally would make it inert.

import { texts } from "../texts/en.js";
import { freshId, h, setHidden, setText } from "./dom.js";

const BEHIND = ["top-bar", "navigation", "main"];

/**
 * Shows a dialog and resolves to what `content(close)` closes it with; null when it is cancelled.
 * `content` returns the elements inside.
 */
export function dialog(title, content) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const titleId = freshId("dialog");
    const close = (result) => {
      if (!veil.isConnected) return;
      veil.remove();
      setBehindInert(false);
      document.removeEventListener("keydown", onKey);
      if (before?.isConnected) before.focus();
      resolve(result);
    };
    const onKey = (event) => {
      if (event.key === "Escape") close(null);
    };
    const box = h(
      "div",
      { class: "dialog", role: "dialog", aria: { labelledby: titleId } },
      h("h2", { id: titleId }, title),
      ...content(close),
    );
    const veil = h("div", { class: "dialog-veil" }, box);
    document.getElementById("dialogs").append(veil);
    document.addEventListener("keydown", onKey);
    setBehindInert(true);
    (box.querySelector("[autofocus], input, textarea, select") ?? box.querySelector("button"))?.focus();
  });
}

function setBehindInert(isInert) {
  if (!isInert && document.querySelector(".dialog-veil")) return;
  for (const id of BEHIND) document.getElementById(id).inert = isInert;
}

/** Asks for a yes; resolves to whether it came. The safe answer has the focus. */
export async function confirm(title, text, yes, { isDanger = false } = {}) {
  const answer = await dialog(title, (close) => [
    h("p", {}, text),
    h(
      "div",
      { class: "actions" },
      h("button", { class: "button", type: "button", autofocus: true, onclick: () => close(false) }, texts.cancel),
      h("button", { class: isDanger ? "button danger" : "button primary", type: "button", onclick: () => close(true) }, yes),
    ),
  ]);
  return answer === true;
}

/** Asks for the second factor's code and gives it to `confirmCode`; resolves to whether it was right. */
export async function askCode(hostName, confirmCode) {
  const answer = await dialog(texts.code.title, (close) => {
    const error = h("p", { class: "error", role: "alert", hidden: true });
    const input = h("input", {
      class: "input mono",
      id: freshId("code"),
      inputMode: "numeric",
      autocomplete: "one-time-code",
      pattern: "[0-9]{6}",
      maxLength: 6,
      required: true,
    });
    const submit = h("button", { class: "button primary", type: "submit" }, texts.code.confirm);
    const form = h(
      "form",
      { class: "stack", noValidate: true },
      h("p", {}, texts.code.why(hostName)),
      h("div", { class: "field" }, h("label", { htmlFor: input.id }, texts.code.label), input, error),
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", type: "button", onclick: () => close(false) }, texts.cancel),
        submit,
      ),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      try {
        await confirmCode(input.value.trim());
        close(true);
      } catch (failure) {
        setText(error, failure.message);
        setHidden(error, false);
        input.select();
        submit.disabled = false;
      }
    });
    return [form];
  });
  return answer === true;
}
