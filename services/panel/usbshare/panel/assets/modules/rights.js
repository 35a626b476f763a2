// Whether a control may be used, and why not.

import { texts } from "../texts/en.js";
import { people } from "./format.js";
import { h, setAttribute, setHidden, setText } from "./dom.js";
import { icon } from "./icons.js";

/** Returns why a machine cannot be controlled now; empty if it can. `needs` names an ability and its reason. */
export function whyNotControl(machine) {
  if (!machine) return texts.rights.noMachine;
  if (machine.isUnseen) return texts.rights.noHost;
  if (!machine.control?.isAllowed) return people(machine.control?.reason) || texts.rights.noControl;
  if (machine.controlState === "CONTROL_STATE_OTHER") return people(machine.controlReason) || texts.rights.heldByOther;
  return "";
}

/** Disables controls while there is a reason, and says it once beside them. */
export function guarded(controls, reasonElement) {
  const disable = guardedBeside(controls, reasonElement.id);
  return (reason, needsCode = false) => {
    disable(reason, needsCode);
    sayReason(reasonElement, reason, needsCode);
  };
}

/** Says a reason, or that a code is needed, in its line. */
export function sayReason(reasonElement, reason, needsCode = false) {
  setText(reasonElement.lastChild, reason || (needsCode ? texts.rights.needsCode : ""));
  setHidden(reasonElement, !reason && !needsCode);
}

/** Disables controls while there is a reason, which the line of that id says. */
export function guardedBeside(controls, reasonId) {
  return (reason, needsCode = false) => {
    for (const control of controls) {
      if (control.disabled !== Boolean(reason)) control.disabled = Boolean(reason);
      setAttribute(control, "aria-describedby", reason || needsCode ? reasonId : null);
    }
  };
}

/** The line beside guarded controls. */
export function reasonLine(id) {
  return h("p", { class: "reason row", id, hidden: true }, icon("info"), h("span", {}));
}
