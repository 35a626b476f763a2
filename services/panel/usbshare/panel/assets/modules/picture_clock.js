// What time it is at the gateway, by this page's clock, which is never set. The quickest answer is trusted most.

import { RemoteClock } from "./remote_clock.js";

const MOST_UNANSWERED = 12;
const FIRST_PINGS = 5;
const FIRST_MS = 100;
const LATER_MS = 2000;

/** Pings over `send({ping})` and knows how long a message took. */
export class GatewayClock {
  #send;
  #sent = new Map();
  #clock = new RemoteClock();
  #next = 1;
  #timer = 0;

  constructor(send) {
    this.#send = send;
  }

  start() {
    this.stop();
    this.#ping();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#sent.clear();
    this.#clock = new RemoteClock();
    this.#next = 1;
  }

  answered({ id, at_ms: at }) {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    this.#clock.told(at, sent, performance.now());
  }

  /** The shortest round trip of late, ms; null before the first answer. */
  get roundTripMs() {
    return this.#clock.error === null ? null : 2 * this.#clock.error;
  }

  /** How long a message took that was sent at `sentMs` of the gateway's clock and arrived at `arrivedMs` of ours. */
  wayMs(sentMs, arrivedMs) {
    if (this.#clock.error === null) return 0;
    return Math.max(this.#clock.error, arrivedMs + this.#clock.offset - sentMs);
  }

  #ping() {
    const id = this.#next++;
    if (this.#sent.size >= MOST_UNANSWERED) this.#sent.clear(); // nobody answers
    this.#sent.set(id, performance.now());
    this.#send({ ping: id });
    this.#timer = setTimeout(() => this.#ping(), id < FIRST_PINGS ? FIRST_MS : LATER_MS);
  }
}
