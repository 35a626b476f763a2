// Draws a tool path over the bed.

import { texts } from "../../texts/en.js";
import { h, setAria, setHidden, setText } from "../dom.js";
import { previewAddress, segments } from "./upload.js";

const t = texts.preview;
const MOST_LINES = 200_000; // more than that comes as a picture: its JSON would be tens of megabytes
const SHADES = 8;
const MARGIN_PX = 18;
const GRIDS_MM = [1, 2, 5, 10, 20, 50, 100, 200, 500];

/**
 * Returns the element; `show({host, portId, file, analysis, bed})` loads a file, `mark({line, at})` draws what
 * is before a line as done, and where the tool is.
 */
export function preview() {
  const canvas = h("canvas", { class: "preview-canvas", role: "img" });
  const picture = h("img", { class: "preview-picture", alt: "", hidden: true });
  const said = h("p", { class: "small muted", role: "status" });
  const element = h("figure", { class: "preview" }, canvas, picture, said);
  let path = null;
  let bed = null;
  let loading = null;
  let marks = { line: 0, at: null };

  element.mark = (wanted) => {
    if (wanted.line === marks.line && String(wanted.at) === String(marks.at)) return;
    marks = wanted;
    draw();
  };

  element.show = async ({ host, portId, file, analysis, bed: wanted }) => {
    bed = wanted;
    path = null;
    loading?.abort();
    loading = new AbortController();
    const isLarge = Number(file.lines ?? 0) > MOST_LINES;
    setHidden(picture, !isLarge);
    setHidden(canvas, isLarge);
    setAria(canvas, { label: analysis?.box ? t.label(analysis.box) : t.title });
    if (isLarge) {
      picture.alt = analysis?.box ? t.label(analysis.box) : t.title;
      picture.src = previewAddress(host, portId, file.sha256, "png");
      setText(said, "");
      return;
    }
    setText(said, t.loading);
    path = sorted({ box: null, segments: [] }); // the bed at once
    draw();
    try {
      path = sorted(await segments(host, portId, file.sha256, loading.signal));
      setText(said, path.isCut ? t.cut : "");
      draw();
    } catch (failure) {
      if (failure.name !== "AbortError") setText(said, failure.message);
    }
  };

  function draw() {
    if (!path || !canvas.clientWidth) return;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    paint(context, { width, height, path, bed, marks });
  }
  new ResizeObserver(draw).observe(canvas);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return element;
}

/** Sorts segments by power, so that each shade is one path. */
function sorted({ box, segments: all, is_cut: isCut }) {
  const shades = Array.from({ length: SHADES + 1 }, () => []);
  for (const segment of all) {
    const power = segment[4];
    shades[power > 0 ? Math.max(1, Math.ceil(power * SHADES)) : 0].push(segment);
  }
  return { box, shades, isCut };
}

function paint(context, { width, height, path, bed, marks }) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const area = around([bed, path.box].filter(Boolean));
  const scale = Math.min((width - 2 * MARGIN_PX) / (area[2] - area[0] || 1), (height - 2 * MARGIN_PX) / (area[3] - area[1] || 1));
  const left = (width - (area[2] - area[0]) * scale) / 2;
  const top = (height - (area[3] - area[1]) * scale) / 2;
  const x = (value) => left + (value - area[0]) * scale;
  const y = (value) => height - top - (value - area[1]) * scale;

  context.fillStyle = colour("--sunken");
  context.fillRect(0, 0, width, height);
  if (bed) paintBed(context, { bed, scale, x, y, colour });
  path.shades.forEach((segments, shade) => {
    if (!segments.length) return;
    context.globalAlpha = shade ? 0.35 + (0.65 * shade) / SHADES : 0.45;
    context.lineWidth = shade ? 1.2 : 0.7;
    context.setLineDash(shade ? [] : [3, 3]);
    const isDone = (segment) => segment[5] <= marks.line;
    trace(segments.filter((segment) => !isDone(segment)), colour(shade ? "--text" : "--travel"));
    if (marks.line) trace(segments.filter(isDone), colour("--done"));
  });

  function trace(segments, stroke) {
    context.beginPath();
    for (const [x0, y0, x1, y1] of segments) {
      context.moveTo(x(x0), y(y0));
      context.lineTo(x(x1), y(y1));
    }
    context.strokeStyle = stroke;
    context.stroke();
  }

  context.globalAlpha = 1;
  context.setLineDash([]);
  if (path.box) {
    context.strokeStyle = colour("--accent");
    context.lineWidth = 1;
    const [x0, y0, x1, y1] = path.box;
    context.strokeRect(x(x0), y(y1), (x1 - x0) * scale, (y1 - y0) * scale);
  }
  paintZero(context, x(0), y(0), colour("--accent"));
  if (marks.at) paintTool(context, x(marks.at[0]), y(marks.at[1]), colour("--emergency"));
}

function paintBed(context, { bed, scale, x, y, colour }) {
  const [x0, y0, x1, y1] = bed;
  context.fillStyle = colour("--bed");
  context.fillRect(x(x0), y(y1), (x1 - x0) * scale, (y1 - y0) * scale);
  const grid = GRIDS_MM.find((each) => each * scale >= 24) ?? 1000;
  context.strokeStyle = colour("--bed-line");
  context.lineWidth = 1;
  context.beginPath();
  for (let at = Math.ceil(x0 / grid) * grid; at <= x1; at += grid) {
    context.moveTo(x(at), y(y0));
    context.lineTo(x(at), y(y1));
  }
  for (let at = Math.ceil(y0 / grid) * grid; at <= y1; at += grid) {
    context.moveTo(x(x0), y(at));
    context.lineTo(x(x1), y(at));
  }
  context.stroke();
  context.strokeStyle = colour("--line-strong");
  context.strokeRect(x(x0), y(y1), (x1 - x0) * scale, (y1 - y0) * scale);
  context.fillStyle = colour("--muted");
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "top";
  context.fillText(t.grid(grid), x(x0) + 4, y(y0) + 3);
}

function paintZero(context, x, y, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 8, y);
  context.lineTo(x + 8, y);
  context.moveTo(x, y - 8);
  context.lineTo(x, y + 8);
  context.stroke();
}

function paintTool(context, x, y, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, 4.5, 0, 2 * Math.PI);
  context.fill();
}

function around(boxes) {
  if (!boxes.length) return [0, 0, 100, 100];
  return [
    Math.min(0, ...boxes.map((box) => box[0])),
    Math.min(0, ...boxes.map((box) => box[1])),
    Math.max(0, ...boxes.map((box) => box[2])),
    Math.max(0, ...boxes.map((box) => box[3])),
  ];
}

/** The bed in work coordinates: the machine's travel without the work offset; null if it is unknown. */
export function bedOf(machine) {
  const travel = machine?.abilities?.travel;
  if (!travel) return null;
  const [offsetX = 0, offsetY = 0] = machine.report?.workOffset ?? [];
  return [(travel.minXMm ?? 0) - offsetX, (travel.minYMm ?? 0) - offsetY, (travel.maxXMm ?? 0) - offsetX, (travel.maxYMm ?? 0) - offsetY];
}
