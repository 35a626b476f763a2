// A jog under a finger: it lives only while it is renewed, and everything that could mean "released" ends it.

const RENEW_MS = 40;

let lastLease = 0;

export class JogLease {
  #socket;
  #timer = 0;
  #jog = null;
  #onChange;

  /** `onChange(isMoving)` is called when a jog begins and when it ends. */
  constructor(socket, onChange) {
    this.#socket = socket;
    this.#onChange = onChange;
    this.end = this.end.bind(this);
    this.onVisibility = () => document.hidden && this.end();
    addEventListener("blur", this.end);
    addEventListener("pagehide", this.end);
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  get number() {
    return this.#jog?.lease ?? 0;
  }

  /** Begins to move `{x, y, z}` at a feed; resolves when it moves, rejects with the Failure if it does not. */
  async begin(machine, direction, feed) {
    this.end();
    lastLease += 1;
    const jog = { machine, lease: lastLease, ...direction, feed };
    const made = () => ({ jog: { ...jog, madeAt: this.#socket.gatewayClock() } });
    this.#jog = jog;
    this.#timer = setInterval(() => this.#renew(made()), RENEW_MS);
    this.#onChange(true);
    try {
      await this.#socket.request(made());
    } catch (failure) {
      if (this.#jog === jog) this.end();
      throw failure;
    }
  }

  #renew(request) {
    if (!this.#socket.tell(request)) this.end();
  }

  /** Ends it, if there is one. */
  end() {
    if (!this.#jog) return;
    clearInterval(this.#timer);
    const { machine, lease } = this.#jog;
    this.#jog = null;
    this.#socket.tell({ endJog: { machine, lease } });
    this.#onChange(false);
  }

  /** Ends it for good, with its listeners. */
  close() {
    this.end();
    removeEventListener("blur", this.end);
    removeEventListener("pagehide", this.end);
    document.removeEventListener("visibilitychange", this.onVisibility);
  }
}
