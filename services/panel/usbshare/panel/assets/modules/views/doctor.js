// The doctor's report: what was looked at, what was found, what to do.

import { texts } from "../../texts/en.js";
import { h, replace, setHidden, setText } from "../dom.js";
import { hostSelect } from "./host_select.js";
import { button, card, check, pageHead, pill } from "./parts.js";

const t = texts.doctor;
const LONG_MS = 120_000;
const TONES = { CHECK_RESULT_OK: "ok", CHECK_RESULT_WARNING: "warn", CHECK_RESULT_FAILED: "danger", CHECK_RESULT_SKIPPED: "" };

export function doctorView({ store, actions, parameters }) {
  const select = hostSelect("doctor", parameters[0], t.host);
  const run = button(t.run, onRun, { kind: "primary", name: "doctor" });
  const onlyHere = check(t.onlyThis);
  const said = h("p", { role: "status" });
  const list = h("ul", { class: "plain checks" });
  const result = card(t.result, said, list);
  setHidden(result, true);
  const element = h("div", { class: "stack" }, pageHead(t.title, t.lead), h("div", { class: "card row doctor-form" }, select, onlyHere, run), result);

  async function onRun() {
    run.disabled = true;
    setHidden(result, false);
    setText(said, t.running);
    replace(list);
    const host = onlyHere.input.checked ? "" : select.key(store.state);
    try {
      const { doctor } = await actions.request({ runDoctor: { host } }, { timeoutMs: LONG_MS });
      const checks = doctor?.checks ?? [];
      const bad = checks.filter((each) => ["CHECK_RESULT_FAILED", "CHECK_RESULT_WARNING"].includes(each.result)).length;
      setText(said, bad ? t.found(bad, checks.length) : t.allWell(checks.length));
      replace(list, checks.map(checkItem));
    } catch (failure) {
      setText(said, failure.message);
    }
    run.disabled = false;
  }

  const end = store.watch((state) => {
    select.update(state);
    setHidden(onlyHere, !state.hosts.size);
  });
  return { element, end };
}

function checkItem({ name, result, text, remedy }) {
  return h(
    "li",
    { class: "check-item" },
    h("div", {}, h("p", { class: "strong" }, name), text && h("p", {}, text), remedy && h("p", { class: "remedy" }, h("span", { class: "strong" }, t.remedy), remedy)),
    pill(t.word[result] ?? "", TONES[result]),
  );
}
