// Small helpers to build and change elements. Data only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Creates an element. `on…` props are listeners, `data` and `aria` are objects, null props are left out. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, props);
  element.append(...nodes(children));
  return element;
}

/** Creates an SVG element. */
export function s(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) {
    if (value != null && value !== false) element.setAttribute(name, value);
  }
  element.append(...nodes(children));
  return element;
}

function assign(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria") setAria(element, value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
}

function nodes(children) {
  return children.flat(Infinity).filter((child) => child != null && child !== false);
}

export function setAria(element, values) {
  for (const [name, value] of Object.entries(values)) setAttribute(element, `aria-${name}`, value);
}

/** Sets or, for null, removes an attribute; writes nothing if it is so already. */
export function setAttribute(element, name, value) {
  if (value == null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Sets the text of an element; writes nothing if it is so already, so that live regions do not chatter. */
export function setText(element, text) {
  const wanted = text == null ? "" : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

export function setHidden(element, isHidden) {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

export function setClass(element, name, isOn) {
  element.classList.toggle(name, Boolean(isOn));
}

/**
 * Makes the children of `parent` those of `items`, by key: what stays keeps its element, its focus and
 * its place in a screen reader. `create(item)` returns an element with an optional `update(item)`.
 */
export function keyed(parent, items, key, create) {
  const known = parent.keyedElements ?? (parent.keyedElements = new Map());
  const wanted = new Set();
  let place = parent.firstChild;
  for (const item of items) {
    const id = String(key(item));
    if (wanted.has(id)) continue;
    wanted.add(id);
    let element = known.get(id);
    if (!element) known.set(id, (element = create(item)));
    element.update?.(item);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const [id, element] of known) {
    if (wanted.has(id)) continue;
    element.remove();
    known.delete(id);
  }
}

export function replace(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/** Whether a key press now is meant for a field and not for the page. */
export function isTyping(target = document.activeElement) {
  if (!target || target === document.body) return false;
  if (target.isContentEditable) return true;
  const tag = target.tagName;
  if (tag === "TEXTAREA" || tag === "SELECT") return true;
  return tag === "INPUT" && !["checkbox", "radio", "button", "range", "file"].includes(target.type);
}

let lastId = 0;

/** Returns an id that no other element has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
