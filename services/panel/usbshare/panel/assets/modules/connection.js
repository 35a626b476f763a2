// Says that the connection is lost and what is shown is old, and offers to try at once.

import { texts } from "../texts/en.js";
import { h, replace, setAttribute } from "./dom.js";
import { button } from "./views/parts.js";

const t = texts.connection;

/** Keeps the line above the page; `retry()` tries at once. */
export function connectionLine(parent, store, retry) {
  let shown = "";
  store.watch(({ connection, isLoaded }) => {
    const isLost = !connection.isOpen && connection.wasOpen;
    const wanted = isLost ? String(connection.since) : "";
    setAttribute(document.documentElement, "data-lost", isLost && isLoaded ? "" : null);
    if (wanted === shown) return;
    shown = wanted;
    replace(parent, isLost && [h("p", {}, t.lost(connection.since)), button(t.retry, retry)]);
  });
}
