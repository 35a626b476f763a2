// A camera's live picture: `const picture = mountPicture(element, {host, camera, token}); … picture.unmount()`.

import { GatewayClock } from "./picture_clock.js";
import { decodesH264, PictureDecoder } from "./picture_decoder.js";
import { readFrame } from "./picture_frame.js";
import { PictureLink } from "./picture_link.js";
import { texts as all } from "../texts/en.js";

const texts = all.picture;
const LOOK_MS = 250;
const STALE_MS = 2000;
const MOST_FAILURES = 3;
const STYLE = new URL("../picture.css", import.meta.url).href;

/**
 * Shows a camera in `element` until `unmount()` is called. `name` is what people call it; `width` and `fps` limit
 * what is asked for, 0 leaves it to the camera; `token` is added to addresses where the gateway wants one.
 */
export function mountPicture(element, { host, camera = "", token = "", name = "", width = 0, fps = 0 }) {
  return new Picture(element, { host, camera, token, name, width, fps });
}

class Picture {
  #asked;
  #parts;
  #link;
  #clock;
  #decoder;
  #takesH264 = false;
  #failures = 0;
  #view = { state: "connecting", reason: "" };
  #isConnected = false;
  #isMounted = true;
  #timer = 0;
  #shown = null; // {frame, arrivedAgeMs, ageMs, drawnMs}
  #frames = 0;
  #bytes = 0;

  constructor(element, asked) {
    this.#asked = asked;
    this.#parts = build(asked.name, {
      snapshot: () => this.#save(),
      fullScreen: () => this.#toggleFullScreen(),
      retry: () => this.#link.restart(),
    });
    addStyle();
    element.append(this.#parts.figure);
    this.#clock = new GatewayClock((message) => this.#link.send(message));
    this.#decoder = new PictureDecoder({
      show: (frame, image) => this.#show(frame, image),
      done: (frame) => this.#link.send({ acknowledge: frame.sequence }),
      needsKey: () => this.#link.send({ key_frame: true }),
      failed: () => this.#failed(),
    });
    this.#link = new PictureLink(() => this.#address("video", "ws"), {
      opened: () => this.#opened(),
      closed: (isFinal) => this.#closed(isFinal),
      message: (message) => this.#message(message),
      frame: (buffer) => this.#frame(buffer),
    });
    document.addEventListener("fullscreenchange", this.#tellFullScreen);
    this.#timer = setInterval(() => this.#tell(), LOOK_MS);
    this.#start();
  }

  unmount() {
    this.#isMounted = false;
    this.#link.stop();
    clearInterval(this.#timer);
    document.removeEventListener("fullscreenchange", this.#tellFullScreen);
    this.#parts.figure.remove();
  }

  /** What is shown now, for those who measure. `ageMs` is of the moment when it was drawn, `arrivedAgeMs` when it came. */
  get stats() {
    const shown = this.#shown;
    return {
      state: this.#view.state,
      isConnected: this.#isConnected,
      frames: this.#frames,
      bytes: this.#bytes,
      sequence: shown?.frame.sequence ?? null,
      format: shown ? (shown.frame.isH264 ? "h264" : "jpeg") : null,
      ageMs: shown?.ageMs ?? null,
      arrivedAgeMs: shown?.arrivedAgeMs ?? null,
      capturedUnixMs: shown?.frame.capturedUnixMs ?? null,
      drawnUnixMs: shown ? performance.timeOrigin + shown.drawnMs : null,
    };
  }

  async #start() {
    this.#takesH264 = await decodesH264();
    if (this.#isMounted) this.#link.start();
  }

  #address(path, scheme = "http") {
    const url = new URL(path, document.baseURI);
    if (scheme === "ws") url.protocol = url.protocol.replace("http", "ws");
    const { host, camera, token, width, fps } = this.#asked;
    url.search = "";
    url.hash = "";
    const query = { host, camera, token, width: width || "", fps: fps || "" };
    for (const [key, value] of Object.entries(query)) {
      if (value) url.searchParams.set(key, value);
    }
    if (scheme === "ws") url.searchParams.set("formats", this.#takesH264 ? "h264,jpeg" : "jpeg");
    return url.href;
  }

  // ---- What comes

  #opened() {
    this.#isConnected = true;
    this.#clock.start();
  }

  #closed(isFinal) {
    this.#isConnected = false;
    this.#clock.stop();
    this.#decoder.close();
    if (!isFinal) this.#view = { state: "connecting", reason: "" };
    this.#tell();
  }

  #message(message) {
    if (message.pong) this.#clock.answered(message.pong);
    if (!message.view) return;
    this.#view = message.view;
    if (!this.#asked.name) setLabel(this.#parts.canvas, message.view.name || message.view.camera);
    this.#tell();
  }

  #frame(buffer) {
    this.#bytes += buffer.byteLength;
    const frame = readFrame(buffer, performance.now());
    if (frame) this.#decoder.put(frame);
  }

  #show(frame, image) {
    const { canvas, context } = this.#parts;
    const width = image.displayWidth ?? image.width;
    const height = image.displayHeight ?? image.height;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.drawImage(image, 0, 0, width, height);
    const now = performance.now();
    const wayMs = this.#clock.wayMs(frame.sentMs, frame.arrivedMs);
    const arrivedAgeMs = frame.ageSentMs + wayMs;
    this.#shown = { frame, arrivedAgeMs, ageMs: arrivedAgeMs + now - frame.arrivedMs, drawnMs: now };
    if (!this.#frames++) this.#tell();
  }

  #failed() {
    this.#failures += 1;
    if (this.#failures < MOST_FAILURES) {
      this.#link.send({ key_frame: true });
      return;
    }
    this.#takesH264 = false;
    this.#link.restart();
  }

  // ---- What is said

  #tell() {
    const { figure, overlay, text, age, format, retry } = this.#parts;
    const shown = this.#shown;
    const sinceMs = shown ? performance.now() - shown.drawnMs : Infinity;
    const isLive = this.#view.state === "live" && shown && sinceMs < STALE_MS;
    const isPlaceholder = this.#view.state === "no_picture" && shown?.frame.isPlaceholder && sinceMs < STALE_MS;
    figure.dataset.state = isLive ? "live" : this.#view.state === "live" ? "stale" : this.#view.state;
    setText(text, isLive ? "" : this.#why());
    overlay.classList.toggle("picture-overlay-quiet", Boolean(isPlaceholder)); // the picture says it
    overlay.hidden = isLive;
    retry.hidden = this.#view.state !== "refused";
    const ageMs = shown && !shown.frame.isPlaceholder ? shown.ageMs + (isLive ? 0 : sinceMs) : null;
    setText(age, ageMs == null ? "" : texts.age(ageMs));
    age.title = texts.ageTitle(this.#clock.roundTripMs?.toFixed(1) ?? "?");
    setText(format, isLive ? texts.format[shown.frame.isH264 ? "h264" : "jpeg"] : "");
  }

  #why() {
    const { state, reason } = this.#view;
    if (state === "refused") return texts.refused(reason);
    if (!this.#isConnected) return this.#frames ? texts.noGateway : texts.connecting;
    if (state === "lost") return texts.lost(reason);
    if (state === "no_picture") return texts.noPicture(reason);
    return state === "live" && this.#shown ? texts.stale : texts.connecting;
  }

  // ---- What is clicked

  async #save() {
    const { note } = this.#parts;
    setText(note, "");
    try {
      const reply = await fetch(this.#address("snapshot.jpg"), { cache: "no-store" });
      if (!reply.ok) throw new Error((await reply.text()).trim() || reply.statusText);
      download(await reply.blob(), this.#fileName());
    } catch (error) {
      setText(note, texts.snapshotFailed(error.message));
    }
  }

  #fileName() {
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z").replace(/:/g, "");
    const camera = (this.#asked.name || this.#view.camera || "camera").replace(/[^\w-]+/g, "_");
    return `${camera}-${time}.jpg`;
  }

  async #toggleFullScreen() {
    if (document.fullscreenElement === this.#parts.figure) await document.exitFullscreen();
    else await this.#parts.figure.requestFullscreen();
  }

  #tellFullScreen = () => {
    const isFull = document.fullscreenElement === this.#parts.figure;
    setText(this.#parts.fullScreenText, isFull ? texts.endFullScreen : texts.fullScreen);
  };
}

function build(name, on) {
  const canvas = make("canvas", "picture-canvas", { width: 16, height: 9 });
  canvas.setAttribute("role", "img");
  setLabel(canvas, name);
  const text = make("p", "picture-text");
  const retry = make("button", "picture-button", { type: "button", hidden: true, onclick: on.retry });
  retry.textContent = texts.retry;
  const overlay = make("div", "picture-overlay");
  overlay.setAttribute("role", "status");
  overlay.append(text, retry);
  const stage = make("div", "picture-stage");
  stage.append(canvas, overlay);

  const age = make("span", "picture-age");
  const format = make("span", "picture-format");
  const note = make("span", "picture-note");
  note.setAttribute("role", "status");
  const snapshot = make("button", "picture-button", { type: "button", onclick: on.snapshot });
  snapshot.textContent = texts.snapshot;
  const fullScreenText = make("button", "picture-button", { type: "button", onclick: on.fullScreen });
  fullScreenText.textContent = texts.fullScreen;
  fullScreenText.hidden = !document.fullscreenEnabled;
  const bar = make("figcaption", "picture-bar");
  bar.append(age, format, note, snapshot, fullScreenText);

  const figure = make("figure", "picture-view");
  figure.append(stage, bar);
  const context = canvas.getContext("2d", { alpha: false });
  return { figure, canvas, context, overlay, text, retry, age, format, note, fullScreenText };
}

function make(tag, className, properties = {}) {
  return Object.assign(document.createElement(tag), { className }, properties);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setLabel(canvas, name) {
  canvas.setAttribute("aria-label", texts.canvas(name));
}

function addStyle() {
  const isThere = Array.from(document.styleSheets).some((sheet) => sheet.href === STYLE);
  if (isThere || document.querySelector(`link[href="${STYLE}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE }));
}

function download(blob, name) {
  const href = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}
