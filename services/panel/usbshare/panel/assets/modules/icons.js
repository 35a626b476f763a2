// Line icons, 24 by 24, drawn as paths. Decorative: the text beside one names the thing.

import { s } from "./dom.js";

const PATHS = {
  hosts: "M4 4h16v6H4zM4 14h16v6H4zM7.5 7h.01M7.5 17h.01M11 7h6M11 17h6",
  machine: "M4 20h16M6 20V5h12v15M6 9h12M12 9v4M10.5 13h3l-.7 2h-1.6zM12 17v.5",
  jobs: "M9 6h11M9 12h11M9 18h11M4 6h.01M4 12h.01M4 18h.01",
  ports: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4",
  access: "M12 3l7 3v5c0 4.5-2.9 8.2-7 10-4.1-1.8-7-5.5-7-10V6zM9 12l2 2 4-4",
  doctor: "M3 12h4l2-6 4 12 2.5-6H21",
  latency: "M12 21a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 9v4l2.5 2M9.5 2h5",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  right: "M5 12h14M13 6l6 6-6 6",
  left: "M19 12H5M11 6l-6 6 6 6",
  up: "M12 19V5M6 11l6-6 6 6",
  fold: "M6 9l6 6 6-6",
  down: "M12 5v14M6 13l6 6 6-6",
  slide: "M6 6l6 6-6 6M13 6l6 6-6 6",
  home: "M4 11l8-7 8 7M6 9.5V20h12V9.5M10 20v-6h4v6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M19 5l-1.4 1.4M6.4 17.6L5 19",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
  system: "M3 5h18v11H3zM9 20h6M12 16v4",
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  play: "M7 4l12 8-12 8z",
  pause: "M8 5v14M16 5v14",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8h.01",
  lock: "M6 11h12v9H6zM8.5 11V7.5a3.5 3.5 0 0 1 7 0V11",
  drag: "M9 5h.01M15 5h.01M9 12h.01M15 12h.01M9 19h.01M15 19h.01",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7z",
  mark: "M5 15.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 12.5h7M15 9h5v7h-5z",
};

/** Returns the icon of that name. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
}
