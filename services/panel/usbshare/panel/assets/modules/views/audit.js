// The audit log of a host, live, with a filter.

import { texts } from "../../texts/en.js";
import { h, keyed, setHidden, setText } from "../dom.js";
import { clock } from "../format.js";
import { card, field } from "./parts.js";

const t = texts.audit;
const WAIT_MS = 250;
const MOST_SHOWN = 200;

export function auditCard({ store, tellShown }, hostKey) {
  const input = h("input", { class: "input", type: "search", autocomplete: "off", spellcheck: false });
  const body = h("tbody", {});
  const table = h(
    "table",
    { class: "table folding" },
    h("thead", {}, h("tr", {}, [t.time, t.who, t.what, t.resource, t.more].map((heading) => h("th", { scope: "col" }, heading)))),
    body,
  );
  const said = h("p", { class: "muted", role: "status" });
  const element = card(t.title, field(t.filter, input, t.filterHint), said, table);
  let timer = 0;

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(follow, WAIT_MS);
  });

  /** Asks for the entries of the host that is shown, from the beginning. */
  function follow() {
    const host = hostKey();
    const text = input.value.trim();
    store.update((state) => state.audits.set(host, { entries: [], reason: "", lost: 0, filter: text, isLoading: true }));
    tellShown({ audits: [{ host, text }] });
  }

  function update(state) {
    const log = state.audits.get(hostKey());
    const entries = (log?.entries ?? []).slice(-MOST_SHOWN).reverse();
    keyed(body, entries, (entry) => entry.number, row);
    setHidden(table, !entries.length);
    const isLoading = !log || log.isLoading;
    const empty = isLoading ? t.loading : t.none;
    setText(said, log?.reason || (log?.lost ? t.lost(log.lost) : "") || (entries.length ? "" : empty));
    setHidden(said, !said.textContent);
  }
  return { element, update, follow };
}

function row() {
  const cells = [t.time, t.who, t.what, t.resource, t.more].map((heading) => h("td", { data: { heading } }, h("span", {})));
  cells[0].className = "moment";
  const element = h("tr", {}, cells);
  element.update = (entry) => {
    const values = [clock(entry.time), entry.who, entry.isRefused ? t.refused(entry.what) : entry.what, entry.resource || texts.none, entry.text];
    cells.forEach((cell, index) => setText(cell.firstChild, values[index] ?? ""));
    element.classList.toggle("refused", Boolean(entry.isRefused));
  };
  return element;
}
