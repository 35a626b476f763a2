// A host that a person adds by its address, which may be another one of a host that is shown already.

import { texts } from "../../texts/en.js";
import { h } from "../dom.js";
import { notice } from "../notices.js";
import { button, card, field } from "./parts.js";

const t = texts.hosts;

export function addHostCard(store, actions) {
  const input = h("input", { class: "input", placeholder: "laser.local", autocapitalize: "none", spellcheck: false, autocomplete: "off", required: true });
  const submit = button(t.add, null, { type: "submit", name: "plus" });
  const form = h("form", { class: "add-host" }, field(t.addLabel, input, t.addHint), submit);
  let added = null; // the address and the key that it had at first

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const address = input.value.trim();
    const known = new Set(store.state.hosts.keys());
    submit.disabled = true;
    const answer = await actions.run({ addHost: { address } });
    submit.disabled = false;
    if (!answer) return;
    input.value = "";
    added = { address, key: answer.host.key };
    if (known.has(added.key)) tellKnown(answer.host);
  });

  function tellKnown(host) {
    notice(t.isKnown(added.address, host.name || host.key));
    added = null;
  }

  /** Tells it also where that turns out later: the host's own entry is taken away then. */
  function update(state) {
    if (!added) return;
    added.isShown ||= state.hosts.has(added.key);
    if (!added.isShown || state.hosts.has(added.key)) return;
    const same = [...state.hosts.values()].find((host) => host.isAdded && host.addresses?.includes(hostOf(added.address)));
    if (same) tellKnown(same);
    else added = null;
  }

  return { element: card(t.addTitle, form), update };
}

/** `host`, `host:port` and `[v6]:port` without the port. */
const hostOf = (address) => address.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^([^:]*):\d+$/, "$1");
