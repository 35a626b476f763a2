// A choice of host for pages about one host.

import { h, keyed, setText } from "../dom.js";
import { go } from "../router.js";

/** Returns a select; `update(state)` keeps it, `key(state)` says which host the page is about. */
export function hostSelect(page, parameter, label) {
  const select = h("select", { class: "input", aria: { label }, onchange: () => go(page, select.value) });
  select.key = (state) => {
    if (state.hosts.has(parameter)) return parameter;
    const ofTarget = state.target.split("\n")[0];
    return state.hosts.has(ofTarget) ? ofTarget : ([...state.hosts.keys()][0] ?? "");
  };
  select.update = (state) => {
    const hosts = [...state.hosts.values()].sort((one, other) => (one.name ?? "").localeCompare(other.name ?? ""));
    keyed(select, hosts, (host) => host.key, (host) => {
      const option = h("option", { value: host.key });
      option.update = (item) => setText(option, item.name || item.key);
      return option;
    });
    const key = select.key(state);
    if (select.value !== key) select.value = key;
    select.hidden = hosts.length < 2;
  };
  return select;
}
