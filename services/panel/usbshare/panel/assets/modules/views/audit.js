// The audit log of a host, live, with a filter.

import { texts } from "../../texts/en.js";
import { h, keyed, setAria, setHidden, setText } from "../dom.js";
import { clock, people } from "../format.js";
import { icon } from "../icons.js";
import { button, card, field } from "./parts.js";

const t = texts.audit;
const WAIT_MS = 250;
const MOST_SHOWN = 25; // at first, and how many more each time

export function auditCard({ store, tellShown }, hostKey) {
  const input = h("input", { class: "input", type: "search", autocomplete: "off", spellcheck: false });
  const body = h("tbody", {});
  const table = h(
    "table",
    { class: "table folding log" },
    h("thead", {}, h("tr", {}, [t.time, t.who, t.what, t.resource, t.more].map((heading) => h("th", { scope: "col" }, heading)), h("td", { class: "narrow-only" }))),
    body,
  );
  const said = h("p", { class: "muted", role: "status" });
  let most = MOST_SHOWN;
  const older = button(t.older(MOST_SHOWN), () => {
    most += MOST_SHOWN;
    update(store.state);
  });
  const element = card(t.title, field(t.filter, input, t.filterHint), said, table, h("div", { class: "row" }, older));
  let timer = 0;

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(follow, WAIT_MS);
  });

  /** Asks for the entries of the host that is shown, from the beginning. */
  function follow() {
    most = MOST_SHOWN;
    const host = hostKey();
    const text = input.value.trim();
    store.update((state) => state.audits.set(host, { entries: [], reason: "", lost: 0, filter: text, isLoading: true }));
    tellShown({ audits: [{ host, text }] });
  }

  function update(state) {
    const log = state.audits.get(hostKey());
    const all = log?.entries ?? [];
    const entries = all.slice(-most).reverse();
    const left = Math.min(MOST_SHOWN, all.length - entries.length);
    setText(older.lastChild, t.older(left));
    setHidden(older, !left);
    keyed(body, entries, (entry) => entry.number, row);
    setHidden(table, !entries.length);
    const isLoading = !log || log.isLoading;
    const empty = isLoading ? t.loading : t.none;
    setText(said, log?.reason || (log?.lost ? t.lost(log.lost) : "") || (entries.length ? "" : empty));
    setHidden(said, !said.textContent);
  }
  return { element, update, follow };
}

/** On a phone when, who and what; where and the rest are folded. */
function row() {
  const [time, who, what, ...rest] = [t.time, t.who, t.what, t.resource, t.more].map((heading) => h("td", { data: { heading } }, h("span", {})));
  time.className = "moment";
  who.className = "who";
  for (const cell of rest) cell.classList.add("more");
  const open = h("button", { class: "button quiet icon-only", type: "button", onclick: toggle, aria: { expanded: false } }, icon("fold"));
  const element = h("tr", {}, time, who, what, rest, h("td", { class: "fold narrow-only" }, open));

  function toggle() {
    const isOpen = element.toggleAttribute("data-open");
    setAria(open, { expanded: isOpen });
  }

  element.update = (entry) => {
    const done = entry.isRefused ? t.refused(entry.what) : entry.what;
    const values = [clock(entry.time), people(entry.who), done, entry.resource || texts.none, entry.text];
    [time, who, what, ...rest].forEach((cell, index) => setText(cell.firstChild, values[index] ?? ""));
    setAria(open, { label: t.open(`${done}, ${values[0]}`) });
    element.classList.toggle("refused", Boolean(entry.isRefused));
  };
  return element;
}
