// One machine: what it does, what it can be told, its picture and its console.

import { texts } from "../../texts/en.js";
import { h, replace, setHidden, setText } from "../dom.js";
import { stateOf } from "../machine_state.js";
import { consoleCard } from "../machine/console.js";
import { controlCard } from "../machine/control.js";
import { conditionNotes } from "../machine/condition.js";
import { jobCard } from "../machine/job.js";
import { laserCard } from "../machine/laser.js";
import { motionCard } from "../machine/motion.js";
import { overridesCard } from "../machine/overrides.js";
import { pictureCard } from "../machine/picture_place.js";
import { reportCard } from "../machine/report.js";
import { hostName, machineKey, whyUnseen } from "../state.js";
import { empty, machineSelect, pill, setPill } from "./parts.js";
import { go } from "../router.js";

const t = texts.machine;

export function machineView(context) {
  const { store, key, tellShown } = context;
  const which = machineKey(key);
  if (key) tellShown({ consoles: [which] });

  const title = h("h1", {});
  const state = pill();
  const about = h("p", {});
  const others = machineSelect(store, key, (chosen) => go("machine", ...chosen.split("\n")));
  others.setAttribute("aria-label", t.other);
  const head = h("div", { class: "page-head" }, h("div", {}, h("div", { class: "row" }, title, state), about), others);
  const missing = h("div", {});

  const parts = [
    conditionNotes(context),
    reportCard(context),
    pictureCard(context),
    jobCard(context),
    motionCard(context),
    overridesCard(context),
    laserCard(context),
    controlCard(context),
    consoleCard(context),
  ];
  const [condition, report, picture, job, motion, overrides, laser, control, console] = parts;
  const body = h(
    "div",
    { class: "stack" },
    condition.element,
    h(
      "div",
      { class: "machine-grid" },
      h("div", { class: "stack machine-see" }, picture.element, job.element, console.element),
      h("div", { class: "stack machine-state" }, report.element, motion.element, report.more),
      h("div", { class: "stack machine-rest" }, overrides.element, laser.element, control.element),
    ),
  );

  const end = store.watch((all) => {
    const machine = all.machines.get(key);
    setHidden(body, !machine);
    setHidden(others, all.machines.size < 2);
    others.update(all, key);
    setText(title, which.portId || t.title);
    setHidden(state, !machine);
    setText(about, [hostName(all, which.host), machine?.port?.description].filter(Boolean).join(" · "));
    replaceMissing(missing, all, machine, which);
    if (!machine) return;
    const { text, tone } = stateOf(all, machine);
    setPill(state, text, tone);
    const shown = { ...machine, isUnseen: Boolean(whyUnseen(all, which.host)) };
    for (const part of parts) part.update?.(shown, all);
  });
  return {
    element: h("div", { class: "stack" }, head, missing, body),
    end() {
      end();
      for (const part of parts) part.end?.();
    },
  };
}

function replaceMissing(parent, all, machine, which) {
  const why = whyUnseen(all, which.host);
  const kind = machine || !all.isLoaded ? "" : why ? "unseen" : which.portId ? "gone" : "none";
  if (parent.dataset.kind === kind) return;
  parent.dataset.kind = kind;
  replace(
    parent,
    kind === "unseen" && empty(t.unseen(hostName(all, which.host)), h("p", {}, why), h("a", { href: "#/hosts" }, t.toHosts)),
    kind === "gone" && empty(t.gone(which.portId, hostName(all, which.host)), h("a", { href: "#/hosts" }, t.toHosts)),
    kind === "none" && empty(t.noneYet, h("a", { href: "#/hosts" }, t.toHosts)),
  );
}
