// Keeps the place of the keyboard and of screen readers: what had the focus may be hidden, disabled or removed
// by what it did, and the browser would begin at the top of the page again.

const PLACES = ".dialog, .card, article, section, main";

/** Watches the page; `main` is where the focus goes if nothing nearer is left. */
export function keepFocus(main) {
  let last = null; // what had the focus, and what it was in
  let around = [];

  document.addEventListener("focusin", ({ target }) => {
    last = target;
    around = [];
    for (let each = target.parentElement; each; each = each.parentElement) if (each.matches(PLACES)) around.push(each);
  });
  document.addEventListener("focusout", ({ target, relatedTarget }) => {
    // A person left it; what is being removed is still there while this is told.
    queueMicrotask(() => {
      if (!relatedTarget && last === target && isUsable(target)) last = null;
    });
  });
  const look = () => {
    if (!last || hasFocus()) return;
    if (isUsable(last)) last.focus({ preventScroll: true }); // it was disabled while it worked
    else if (!last.isConnected || !last.checkVisibility()) focusPlace(around.find(isUsable) ?? main);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["hidden", "disabled"] });
}

function hasFocus() {
  const active = document.activeElement;
  return Boolean(active) && active !== document.body && isUsable(active);
}

function isUsable(element) {
  return element.isConnected && !element.disabled && !element.closest("[inert]") && element.checkVisibility();
}

/** A heading, never a control: one more press of Enter must not move a machine. */
function focusPlace(place) {
  const heading = [...place.querySelectorAll("h1, h2, h3")].find((each) => each.checkVisibility()) ?? place;
  if (!heading.hasAttribute("tabindex")) heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}
