// What another computer's monotonic clock shows, from its answers. The quickest of the last answers is trusted most.

const KEPT = 12;

/** All times in milliseconds. */
export class RemoteClock {
  #looks = [];

  /** Takes what it showed between a question and its answer, both by our clock. */
  told(theirs, askedAt, answeredAt) {
    const error = (answeredAt - askedAt) / 2;
    this.#looks.push({ offset: theirs - (askedAt + error), error });
    if (this.#looks.length > KEPT) this.#looks.shift();
  }

  /** How far it may be from what is said of it: half the shortest round trip; null before the first answer. */
  get error() {
    return this.#best?.error ?? null;
  }

  /** How far it is ahead of ours. */
  get offset() {
    return this.#best?.offset ?? 0;
  }

  /** What it shows at a time of ours; null before the first answer. */
  now(ours) {
    return this.#best ? ours + this.#best.offset : null;
  }

  get #best() {
    return this.#looks.reduce((best, look) => (best && best.error <= look.error ? best : look), null);
  }
}
