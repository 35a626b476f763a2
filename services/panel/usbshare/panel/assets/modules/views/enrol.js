// "This computer is not enrolled yet": paste or scan an invitation, look at what it says, use it.

import { sentence, texts } from "../../texts/en.js";
import { h, replace, setHidden, setText } from "../dom.js";
import { clock, shortFingerprint } from "../format.js";
import { notice } from "../notices.js";
import { button, card, check, facts, field } from "./parts.js";
import { canScan, scan } from "../scan.js";

const t = texts.enrol;

/** Two places for one form: `open` while this computer has no certificate, `another` behind a summary later. */
export function enrolCard(store, actions) {
  const input = h("textarea", { class: "input", rows: 3, spellcheck: false, autocapitalize: "none", autocomplete: "off" });
  const error = h("p", { class: "reason error-text", role: "alert", hidden: true });
  const read = button(t.read, () => look(), { kind: "primary" });
  const scanButton = button(t.scan, scanned, { name: "camera" });
  const found = h("div", {});
  const refused = h("p", { class: "reason", hidden: true }, t.onlyHere);
  const body = h("div", { class: "stack" }, h("p", {}, t.how), refused, field(t.label, input), h("div", { class: "row" }, read, scanButton), error, found);
  const open = card(t.title, body);
  const another = h("details", { class: "card" }, h("summary", {}, t.another));
  setHidden(scanButton, !canScan());

  function fail(failure) {
    setText(error, sentence(failure.message));
    setHidden(error, false);
    input.setAttribute("aria-invalid", "true");
  }

  async function look() {
    setHidden(error, true);
    input.removeAttribute("aria-invalid");
    replace(found);
    const text = input.value.trim();
    try {
      const { invitation } = await actions.request({ readInvitation: { text } });
      showFound(text, invitation ?? {});
    } catch (failure) {
      fail(failure);
    }
  }

  function showFound(text, invitation) {
    const rows = facts([["name", t.name], ["role", t.role], ["target", t.target], ["site", t.site], ["until", t.until], ["replaces", t.replaces]]);
    rows.update({
      name: invitation.name || null,
      role: invitation.role || null,
      target: invitation.target,
      site: shortFingerprint(invitation.site) || invitation.site,
      until: invitation.endTime ? clock(invitation.endTime) : null,
      replaces: invitation.replaces || null,
    });
    const agree = check(t.agree, {});
    const use = button(t.use, async () => {
      use.disabled = true;
      try {
        const { enrolled } = await actions.request({ enrol: { text, replaces: Boolean(invitation.replaces) } }, { timeoutMs: 60_000 });
        notice(t.done(enrolled?.identity ?? "", enrolled?.role ?? ""), "ok");
        input.value = "";
        replace(found);
      } catch (failure) {
        fail(failure);
        use.disabled = false;
      }
    }, { kind: "primary" });
    const sure = () => (use.disabled = Boolean(invitation.replaces) && !agree.input.checked);
    agree.input.addEventListener("change", sure);
    sure();
    replace(found, h("div", { class: "stack" }, h("p", { class: "strong" }, t.compare), rows, invitation.replaces && agree, h("div", { class: "row" }, use)));
  }

  async function scanned() {
    try {
      const text = await scan();
      if (!text) return;
      input.value = text;
      look();
    } catch (failure) {
      fail(failure);
    }
  }

  function update(state) {
    const isIn = Boolean(state.gateway.identity);
    const isRefused = state.isLoaded && !state.isLocalPage;
    const home = isIn ? another : open;
    if (body.parentElement !== home) home.append(body);
    setHidden(open, isIn || !state.isLoaded);
    setHidden(another, !isIn);
    setHidden(refused, !isRefused);
    read.disabled = scanButton.disabled = input.disabled = isRefused;
  }
  return { open, another, update };
}
