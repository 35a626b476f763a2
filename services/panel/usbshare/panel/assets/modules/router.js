// Pages by the address behind `#`: `#/machine/HOST/PORT`.

/** Returns the page's name and its parameters. */
export function current() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  return { page: decode(parts[0] ?? ""), parameters: parts.slice(1).map(decode) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // typed by hand; it names nothing then
  }
}

export function address(page, ...parameters) {
  return `#/${[page, ...parameters].map(encodeURIComponent).join("/")}`;
}

export function go(page, ...parameters) {
  location.hash = address(page, ...parameters);
}

/** Calls `listener` now and whenever the address changes. */
export function watch(listener) {
  addEventListener("hashchange", () => listener(current()));
  listener(current());
}
