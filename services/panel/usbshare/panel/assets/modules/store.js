// What the page knows, and who wants to hear of changes. Views read it; only `apply` and actions change it.

/** Holds the state; listeners are called once per burst of changes, after it. */
export class Store {
  #listeners = new Set();
  #isScheduled = false;

  constructor(state) {
    this.state = state;
  }

  /** Calls `listener(state)` now and after each change; returns how to end that. */
  watch(listener) {
    this.#listeners.add(listener);
    listener(this.state);
    return () => this.#listeners.delete(listener);
  }

  /** Changes the state by `change(state)`. */
  update(change) {
    change(this.state);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      for (const listener of [...this.#listeners]) listener(this.state);
    });
  }
}
