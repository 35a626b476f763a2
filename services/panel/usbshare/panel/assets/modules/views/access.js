// Who may do what at a host, invitations, and what was done: the audit log.

import { texts } from "../../texts/en.js";
import { confirm, dialog } from "../dialogs.js";
import { h, keyed, replace, s, setHidden, setText } from "../dom.js";
import { clock } from "../format.js";
import { notice } from "../notices.js";
import { auditCard } from "./audit.js";
import { whyUnseen } from "../state.js";
import { hostSelect } from "./host_select.js";
import { button, card, cardWith, copyButton, empty, field, note, pageHead, pill, setPill } from "./parts.js";

const t = texts.access;
// Events of the audit log after which the lists are others.
const CHANGES = new Set(["enrolled", "invited", "invitation withdrawn", "revoked", "policy changed"]);
const SERVICES = new Set(["job-svc"]);
const SETTLE_MS = 1000; // the host needs a moment for its policy
const INVITE_MS = 40_000; // the host waits for what listens for it

export function accessView(context) {
  const { store, actions, parameters } = context;
  const select = hostSelect("access", parameters[0], t.host);
  const mine = card(t.mine, h("p", {}), h("ul", { class: "plain stack tight" }));
  const [, identity, grants] = mine.children;
  const people = h("tbody", {});
  const said = h("p", { class: "muted", role: "status" });
  const table = h(
    "table",
    { class: "table folding" },
    h("thead", {}, h("tr", {}, [t.name, t.role, t.may, t.until, t.seen, ""].map((heading) => h("th", { scope: "col" }, heading || h("span", { class: "visually-hidden" }, t.actions))))),
    people,
  );
  const identities = card(t.title, said, table);
  const invitations = h("ul", { class: "plain queue" });
  const noInvitation = h("p", { class: "muted" }, t.noInvitation);
  const inviteButton = button(t.invite, () => invite(), { kind: "primary", name: "plus" });
  const invitationsCard = cardWith(t.invitations, inviteButton, noInvitation, invitations);
  const log = auditCard(context, () => host);
  const none = empty(texts.hosts.none, h("p", {}, texts.hosts.noneHow));
  const body = h("div", { class: "stack" }, mine, identities, invitationsCard, log.element);
  const element = h("div", { class: "stack" }, pageHead(t.page, t.lead, select), none, body);
  let host = "";
  let report = null;
  let seen = 0;
  let timer = 0;

  async function load() {
    const asked = host;
    try {
      const answer = await actions.request({ getAccess: { host } });
      if (asked !== host) return;
      report = answer.access ?? {};
      setText(said, report.readOnlyReason ?? "");
    } catch (failure) {
      if (asked !== host) return;
      report = null;
      setText(said, failure.message);
    }
    draw();
  }

  function draw() {
    const isReadOnly = Boolean(!report || report.readOnlyReason);
    keyed(people, report?.identities ?? [], (each) => each.name, () => identityRow(revoke));
    for (const row of people.children) row.setReadOnly(isReadOnly);
    const open = report?.invitations ?? [];
    keyed(invitations, open, (each) => each.name, () => invitationRow(withdraw));
    setHidden(table, !report?.identities?.length);
    setHidden(noInvitation, open.length > 0 || !report);
    setHidden(invitationsCard, isReadOnly && !open.length);
    inviteButton.disabled = isReadOnly;
    setHidden(said, !said.textContent);
  }

  async function revoke(who) {
    if (!(await confirm(t.revokeTitle(who.name), t.revokeSure(who.name), t.revokeYes(who.name), { isDanger: true }))) return;
    const answer = await actions.run({ revoke: { host, name: who.name } });
    if (answer?.revoked?.trouble) notice(t.revokeTrouble(who.name, answer.revoked.trouble), "danger");
    if (answer) load();
  }

  async function withdraw(invitation) {
    if (await actions.run({ withdraw: { host, name: invitation.name } })) load();
  }

  async function invite() {
    const asked = host;
    await inviteDialog(actions, host, report ?? {}, (made) => {
      if (asked === host) load();
      showInvitation(made);
    });
  }

  /** Loads anew what the log says has changed, whoever did it. */
  function followChanges(log) {
    const last = Number((log?.entries ?? []).findLast((each) => CHANGES.has(each.what))?.number ?? 0);
    if (last <= seen) return;
    seen = last;
    clearTimeout(timer);
    timer = setTimeout(load, SETTLE_MS);
  }

  const end = store.watch((state) => {
    select.update(state);
    setHidden(none, state.hosts.size > 0 || !state.isLoaded);
    setHidden(body, !state.hosts.size);
    const wanted = select.key(state);
    if (wanted !== host) {
      host = wanted;
      report = null;
      draw();
      if (host) {
        load();
        log.follow();
      }
    }
    drawMine(state.hosts.get(host), whyUnseen(state, host), identity, grants);
    log.update(state);
    followChanges(state.audits.get(host));
  });
  return {
    element,
    end() {
      clearTimeout(timer);
      end();
    },
  };
}

function drawMine(host, why, identity, grants) {
  const me = host?.whoAmI;
  setText(identity, me ? t.youAre(me.identity, me.confirmedUntilTime ? clock(me.confirmedUntilTime) : "") : why || t.notAnswered);
  keyed(grants, me?.grants ?? [], (grant) => `${grant.kind} ${grant.id}`, () => {
    const element = h("li", {}, h("span", { class: "strong" }), h("span", {}));
    element.update = (grant) => {
      const toConfirm = new Set(grant.toConfirm ?? []);
      const rights = (grant.rights ?? []).map((right) => (toConfirm.has(right) ? t.withCode(t.right[right]) : t.right[right]));
      setText(element.firstChild, `${grant.id}: `);
      setText(element.lastChild, [rights.join(", "), grant.untilTime ? t.changes(clock(grant.untilTime)) : ""].filter(Boolean).join(" · "));
    };
    return element;
  });
}

function identityRow(revoke) {
  const cells = [t.name, t.role, t.may, t.until, t.seen].map((heading) => h("td", { data: { heading } }, h("span", {})));
  for (const time of cells.slice(-2)) time.className = "moment";
  const state = pill();
  const remove = button(t.revoke, () => revoke(element.who), { kind: "danger" });
  const element = h("tr", {}, cells, h("td", { data: { heading: "" } }, state, remove));
  element.update = (who) => {
    element.who = who;
    const values = [who.name, who.role, mayOf(who), clock(who.certificateEndTime), who.lastSeenTime ? clock(who.lastSeenTime) : t.never];
    cells.forEach((cell, index) => setText(cell.firstChild, values[index] ?? ""));
    const [word, tone] = who.isRevoked ? [t.revoked, "danger"] : who.hasAlarm ? [t.alarm, "danger"] : who.isOwn ? [t.own, ""] : ["", ""];
    setPill(state, who.state === "expired" ? t.expired : word, who.state === "expired" ? "warn" : tone);
    setHidden(state, !word && who.state !== "expired");
    state.title = who.state ?? "";
    remove.setAttribute("aria-label", t.revokeYes(who.name));
  };
  element.setReadOnly = (isReadOnly) => setHidden(remove, isReadOnly || Boolean(element.who?.isRevoked || element.who?.isOwn));
  return element;
}

/** What somebody may do; a service of the host acts for those who use it. */
function mayOf(who) {
  return who.rights === "nothing" && SERVICES.has(who.name) ? t.ofServices : who.rights;
}

function invitationRow(withdraw) {
  const text = h("p", {});
  const remove = button(t.withdraw, () => withdraw(element.invitation));
  const element = h("li", { class: "queue-item" }, text, remove);
  element.update = (invitation) => {
    element.invitation = invitation;
    setText(text, t.invitationIs(invitation.name, invitation.role, clock(invitation.endTime)));
  };
  return element;
}

function inviteDialog(actions, host, { roles = [], knownRoles = [] }, made) {
  return dialog(t.invite, (close) => {
    const name = h("input", { class: "input", required: true, autocapitalize: "none", spellcheck: false, autocomplete: "off", maxLength: 63 });
    const choose = h("option", { value: "" }, t.chooseRole); // none is a harmless default
    const role = h("select", { class: "input", required: true }, choose, roles.map((each) => h("option", { value: each }, each)));
    const lifetime = h("select", { class: "input" }, t.lifetimes.map(([seconds, text]) => h("option", { value: seconds }, text)));
    const may = h("p", { class: "muted", role: "status" });
    const error = h("p", { class: "error-text", role: "alert" });
    const explain = () => setText(may, role.value && t.roleMay(knownRoles.find((each) => each.name === role.value)?.grants ?? []));
    role.addEventListener("change", explain);
    explain();
    const make = button(t.make, null, { kind: "primary", type: "submit" });
    const form = h(
      "form",
      { class: "stack" },
      field(t.inviteName, name, t.inviteNameHint),
      field(t.role, role),
      may,
      field(t.lifetime, lifetime),
      error,
      h("div", { class: "actions" }, button(texts.cancel, () => close(null)), make),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      setText(error, "");
      make.disabled = true;
      try {
        const wanted = { host, name: name.value.trim(), role: role.value, lifetime: `${lifetime.value}s` };
        const answer = await actions.request({ invite: wanted }, { timeoutMs: INVITE_MS });
        close(null);
        made(answer.madeInvitation); // also where the dialog was closed meanwhile: it is open now
      } catch (failure) {
        setText(error, failure.message);
      }
      make.disabled = false;
    });
    return [form];
  });
}

function showInvitation(made) {
  return dialog(t.madeTitle, (close) => [
    h("p", {}, t.madeHow(clock(made.endTime))),
    (made.warnings ?? []).map((each) => note("warn", h("p", {}, each))),
    qrCode(made.qrRows ?? []),
    h("code", { class: "place" }, made.text),
    made.rights && h("p", {}, t.madeMay(made.rights, made.authorityFingerprint)),
    h("div", { class: "actions" }, copyButton(() => made.text, t.copyInvitation), button(texts.close, () => close(null), { kind: "primary" })),
  ]);
}

function qrCode(rows) {
  if (!rows.length) return null;
  const size = rows.length;
  const path = rows.flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return s(
    "svg",
    { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": t.qr, "shape-rendering": "crispEdges" },
    s("rect", { width: size, height: size, fill: "#fff" }),
    s("path", { d: path, fill: "#000" }),
  );
}
