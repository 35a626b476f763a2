// The video socket of one view: connects again by itself, and exists only while the page can be seen.

const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 2000;
const REFUSED = 4403;

/** Calls `opened()`, `closed(isFinal)`, `message(object)` and `frame(buffer)`. */
export class PictureLink {
  #address;
  #on;
  #socket = null;
  #timer = 0;
  #attempts = 0;
  #isWanted = false;
  #visibility = () => this.#follow();

  constructor(address, handlers) {
    this.#address = address;
    this.#on = handlers;
  }

  start() {
    this.#isWanted = true;
    document.addEventListener("visibilitychange", this.#visibility);
    addEventListener("pagehide", this.#visibility);
    addEventListener("pageshow", this.#visibility);
    addEventListener("online", this.#visibility);
    this.#follow();
  }

  stop() {
    this.#isWanted = false;
    document.removeEventListener("visibilitychange", this.#visibility);
    removeEventListener("pagehide", this.#visibility);
    removeEventListener("pageshow", this.#visibility);
    removeEventListener("online", this.#visibility);
    this.#close();
  }

  /** Tries again at once. */
  restart() {
    this.#close();
    this.#attempts = 0;
    this.#follow();
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #follow() {
    if (document.hidden || !this.#isWanted) this.#close();
    else if (!this.#socket) this.#open();
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#address());
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#on.opened();
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return; // a view that was closed for being hidden
      if (typeof data === "string") this.#on.message(JSON.parse(data));
      else this.#receive(data);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#lost(code === REFUSED);
    };
    this.#socket = socket;
  }

  #receive(data) {
    this.#attempts = 0;
    this.#on.frame(data);
  }

  #lost(isFinal) {
    this.#socket = null;
    this.#on.closed(isFinal);
    if (isFinal) return;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#follow(), longest * (0.5 + Math.random() / 2));
  }

  #close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.close();
    this.#on.closed(false);
  }
}
