// What time it is at the gateway, by this page's clock, which is never set. The quickest answer is trusted most.

const KEPT = 12;
const FIRST_PINGS = 5;
const FIRST_MS = 100;
const LATER_MS = 2000;

/** Pings over `send({ping})` and knows how long a message took. */
export class GatewayClock {
  #send;
  #sent = new Map();
  #looks = [];
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
    this.#looks = [];
    this.#next = 1;
  }

  answered({ id, at_ms: at }) {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    const now = performance.now();
    const error = (now - sent) / 2;
    this.#looks.push({ offset: at - (now - error), error });
    if (this.#looks.length > KEPT) this.#looks.shift();
  }

  /** The shortest round trip of late, ms; null before the first answer. */
  get roundTripMs() {
    return this.#looks.length ? 2 * this.#best.error : null;
  }

  /** How long a message took that was sent at `sentMs` of the gateway's clock and arrived at `arrivedMs` of ours. */
  wayMs(sentMs, arrivedMs) {
    if (!this.#looks.length) return 0;
    const { offset, error } = this.#best;
    return Math.max(error, arrivedMs + offset - sentMs);
  }

  get #best() {
    return this.#looks.reduce((best, look) => (look.error < best.error ? look : best));
  }

  #ping() {
    const id = this.#next++;
    if (this.#sent.size >= KEPT) this.#sent.clear(); // nobody answers
    this.#sent.set(id, performance.now());
    this.#send({ ping: id });
    this.#timer = setTimeout(() => this.#ping(), id < FIRST_PINGS ? FIRST_MS : LATER_MS);
  }
}
