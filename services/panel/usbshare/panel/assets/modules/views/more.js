// On a phone: the pages that have no place in the bar below.

import { texts } from "../../texts/en.js";
import { h } from "../dom.js";
import { icon } from "../icons.js";
import { address } from "../router.js";
import { pageHead } from "./parts.js";

export function moreView({ store }) {
  const target = store.state.target ? store.state.target.split("\n") : [];
  const pages = [["access"], ["doctor"], ["latency", ...target]];
  const links = pages.map(([page, ...parameters]) =>
    h("li", {}, h("a", { class: "machine-link", href: address(page, ...parameters) }, icon(page), h("span", { class: "strong" }, texts.pages[page].title), icon("right"))),
  );
  return { element: h("div", { class: "stack" }, pageHead(texts.pages.more.title), h("ul", { class: "plain stack tight card" }, links)) };
}
