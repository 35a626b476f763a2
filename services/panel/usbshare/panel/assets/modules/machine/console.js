// The machine's console: lines as they come, and a line to send, with history.

import { texts } from "../../texts/en.js";
import { h, setHidden, setText } from "../dom.js";
import { clock } from "../format.js";
import { whyNoLine, whyNotEveryLine } from "../refusal.js";
import { guardedBeside, reasonLine, sayReason, whyNotControl } from "../rights.js";
import { machineKey } from "../state.js";
import { button, cardWith, check } from "../views/parts.js";

const t = texts.console;
const MOST = 1000;
const MOST_HISTORY = 100;
const RESUME = "~";
const QUICK = ["?", "$$", "$#", "$G", "$I"];

export function consoleCard({ actions, key, store }) {
  const machine = machineKey(key);
  const list = h("ol", { class: "plain console-lines" });
  const box = h("div", { class: "console", role: "log", tabIndex: 0, aria: { label: t.lines, live: "off" } }, list);
  const said = h("p", { class: "small", role: "status" });
  const input = h("input", {
    class: "input mono",
    placeholder: t.placeholder,
    maxLength: 200,
    spellcheck: false,
    autocapitalize: "characters",
    autocomplete: "off",
    enterKeyHint: "send",
    aria: { label: t.line },
  });
  const send = button(t.send, null, { type: "submit", kind: "primary" });
  const form = h("form", { class: "console-form" }, input, send);
  const quick = QUICK.map((text) => button(text, () => sendLine(text), { kind: "quiet mono", label: t.quick[text] }));
  const reports = check(t.reports);
  const reason = reasonLine("console-reason");
  const [ask, ...commands] = quick;
  const guard = guardedBeside([input, send, ask], reason.id); // real-time commands are always taken
  const guardCommands = guardedBeside(commands, reason.id);
  const element = cardWith(t.title, reports, box, reason, form, h("div", { class: "row" }, quick), said);
  const history = keptHistory(key);
  let place = history.length;
  let draft = ""; // typed and not sent
  let shownUpTo = -1;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    history.add(text);
    place = history.length;
    input.value = draft = "";
    sendLine(text);
  });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !history.length) return;
    event.preventDefault();
    if (place === history.length) draft = input.value;
    place = Math.min(history.length, Math.max(0, place + by));
    input.value = history.at(place) ?? draft;
  });
  reports.input.addEventListener("change", () => list.classList.toggle("with-reports", reports.input.checked));

  async function sendLine(text) {
    setText(said, t.sent(text));
    try {
      const { line } = await actions.request({ sendLine: { machine, text, ...seenHold(text) } }, { timeoutMs: 180_000 });
      setText(said, line?.reply ? t.replied(text, line.reply, line.meaning ?? "") : t.written(text));
    } catch (failure) {
      setText(said, t.failed(text, failure.message));
    }
  }

  /** What a resume is for: the hold that the person sees now. */
  function seenHold(text) {
    if (text !== RESUME) return {};
    const { epoch = "0", holdNumber = "0" } = store.state.machines.get(key)?.port ?? {};
    return { epoch, holdNumber };
  }

  function update(current, state) {
    const why = whyNotControl(current);
    const needsCode = current.control?.needsCode;
    guard(why, needsCode);
    guardCommands(why || whyNoLine(current), needsCode);
    sayReason(reason, why || whyNotEveryLine(current), needsCode);
    showLines(state.consoles.get(key) ?? []);
  }

  function showLines(lines) {
    if (!lines.length || Number(lines.at(-1).number ?? 0) < shownUpTo) {
      list.replaceChildren();
      shownUpTo = -1;
    }
    const fresh = lines.filter((line) => Number(line.number ?? 0) > shownUpTo);
    if (!fresh.length) return;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    list.append(...fresh.map(lineElement));
    while (list.childElementCount > MOST) list.firstElementChild.remove();
    shownUpTo = Number(fresh.at(-1).number ?? 0);
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }

  return { element, update };
}

function lineElement(line) {
  const text = line.text ?? "";
  const kind = (line.origin ?? "").replace("LINE_ORIGIN_", "").toLowerCase();
  const isReport = kind === "machine" && /^<\w+[|:,].*>$/.test(text);
  const isError = kind === "machine" && /^(error|ALARM)/i.test(text);
  return h(
    "li",
    { data: { kind: isError ? "failure" : kind }, class: isReport ? "report" : "" },
    h("span", { class: "when" }, clock(line.time)),
    h("span", { class: "visually-hidden" }, t.origin[kind] ?? ""),
    h("span", { class: "what" }, text),
  );
}

/** What was sent to this machine in this tab, the latest last. */
function keptHistory(key) {
  const name = `usbshare.console.${key}`;
  let lines = [];
  try {
    lines = JSON.parse(sessionStorage.getItem(name) ?? "[]");
  } catch {
    lines = [];
  }
  return {
    get length() {
      return lines.length;
    },
    at: (index) => lines[index],
    add(line) {
      lines = [...lines.filter((each) => each !== line), line].slice(-MOST_HISTORY);
      try {
        sessionStorage.setItem(name, JSON.stringify(lines));
      } catch {
        // It is kept until the page is closed.
      }
    },
  };
}
