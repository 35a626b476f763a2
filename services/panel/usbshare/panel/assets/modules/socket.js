// The one WebSocket to the panel's program: requests with numbers, events, and a connection that comes back.

import { texts } from "../texts/en.js";
import { people } from "./format.js";
import { RemoteClock } from "./remote_clock.js";

export const State = { CONNECTING: "connecting", OPEN: "open", LOST: "lost" };

const RETRY_MS = [100, 250, 500, 1000, 2000];
const ANSWER_TIMEOUT_MS = 15_000;
const PING_MS = 1000;
const FIRST_PINGS = 5;
const FIRST_PING_MS = 100;
const SILENCE_MS = 3000; // a connection that is half open says nothing, and the browser does not notice

/** What a request came to when it failed; `needsSecondFactor` if the host wants a code first. */
export class Failure extends Error {
  constructor({ text, needsSecondFactor = false, layer = "", isHeldByOther = false }) {
    super(people(text) || texts.socket.unknownFailure);
    this.needsSecondFactor = needsSecondFactor;
    this.layer = layer;
    this.isHeldByOther = isHeldByOther;
  }
}

export class Socket {
  #url;
  #onEvent;
  #onState;
  #socket = null;
  #waiting = new Map();
  #lastId = 0;
  #attempts = 0;
  #retry = 0;
  #pinger = 0;
  #heardAt = 0;
  #pings = 0;
  #clock = new RemoteClock();

  constructor(url, onEvent, onState) {
    this.#url = url;
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  /** Connects, and stays connected until the page is closed. */
  start() {
    addEventListener("online", () => this.retryNow());
    addEventListener("pageshow", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
    this.#connect();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Tries at once if the connection is lost. */
  retryNow() {
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  /** Sends `{action: fields}`; resolves to the answer with `elapsedMs`, rejects with a Failure. */
  request(action, { timeoutMs = ANSWER_TIMEOUT_MS, onId = null } = {}) {
    if (!this.isOpen) return Promise.reject(new Failure({ text: texts.socket.notConnected, layer: "LAYER_GATEWAY" }));
    this.#lastId += 1;
    const id = this.#lastId;
    onId?.(id); // `Progress` names it
    const sentAt = performance.now();
    this.#socket.send(JSON.stringify({ id, ...action }));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Failure({ text: texts.socket.noAnswer(timeoutMs / 1000), layer: "LAYER_GATEWAY" }));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer, sentAt });
    });
  }

  /** Sends what needs no answer; returns whether there was a connection to send it over. */
  tell(action) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(action));
    return true;
  }

  /** Returns what the gateway's monotonic clock shows now, as JSON has a Duration; undefined before that is known. */
  gatewayClock() {
    const now = this.#clock.now(performance.now());
    return now === null ? undefined : `${(now / 1000).toFixed(4)}s`;
  }

  /** Waits for the connection, at most `withinMs`; resolves to whether it is there. */
  async whenOpen(withinMs) {
    const until = performance.now() + withinMs;
    while (!this.isOpen && performance.now() < until) {
      this.retryNow();
      await new Promise((done) => setTimeout(done, 50));
    }
    return this.isOpen;
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#onState(State.CONNECTING);
    socket.addEventListener("open", () => this.#opened(socket));
    socket.addEventListener("message", (message) => this.#received(socket, message.data));
    socket.addEventListener("close", () => this.#closed(socket));
    clearTimeout(this.#pinger);
    this.#pinger = setTimeout(() => {
      if (socket === this.#socket && socket.readyState === WebSocket.CONNECTING) this.#abandon();
    }, SILENCE_MS);
  }

  #opened(socket) {
    if (socket !== this.#socket) return;
    this.#attempts = 0;
    this.#heardAt = performance.now();
    this.#clock = new RemoteClock();
    this.#pings = 0;
    clearTimeout(this.#pinger);
    this.#ping();
    this.#onState(State.OPEN);
  }

  #ping() {
    // A hidden page's timers run rarely: silence then proves nothing.
    if (document.hidden) this.#heardAt = performance.now();
    if (performance.now() - this.#heardAt > SILENCE_MS) {
      this.#abandon();
      return;
    }
    this.#pings += 1;
    this.#pinger = setTimeout(() => this.#ping(), this.#pings < FIRST_PINGS ? FIRST_PING_MS : PING_MS);
    this.#setClock().catch(() => {});
  }

  async #setClock() {
    const sentAt = performance.now();
    const clock = this.#clock;
    const { alive } = await this.request({ ping: {} }, { timeoutMs: SILENCE_MS });
    if (alive?.clock) clock.told(parseFloat(alive.clock) * 1000, sentAt, performance.now());
  }

  #abandon() {
    const socket = this.#socket;
    this.#closed(socket);
    socket.close();
  }

  #received(socket, data) {
    if (socket !== this.#socket) return;
    this.#heardAt = performance.now();
    const event = JSON.parse(data);
    if (event.answer) this.#answered(event.answer);
    else this.#onEvent(event);
  }

  #answered(answer) {
    const waiting = this.#waiting.get(answer.requestId);
    if (!waiting) return;
    this.#waiting.delete(answer.requestId);
    clearTimeout(waiting.timer);
    if (answer.failure) waiting.reject(new Failure(answer.failure));
    else waiting.resolve({ ...answer, elapsedMs: performance.now() - waiting.sentAt });
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    clearTimeout(this.#pinger);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Failure({ text: texts.socket.lostMeanwhile, layer: "LAYER_GATEWAY" }));
    }
    this.#waiting.clear();
    this.#onState(State.LOST);
    const delay = RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)];
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), delay);
  }
}
