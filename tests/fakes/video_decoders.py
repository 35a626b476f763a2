"""Video decoders of browsers that misbehave as real ones do; scripts to run before a page's own."""

# As those of phones and virtual machines: one picture each 150 ms, in software.
SLOW_DECODER = """(() => {
  const Real = window.VideoDecoder;
  window.mostQueued = 0;
  window.VideoDecoder = class {
    static isConfigSupported(config) { return Real.isConfigSupported(config); }
    constructor(init) {
      this.real = new Real(init);
      this.queue = [];
      this.ondequeue = null;
    }
    get state() { return this.real.state; }
    get decodeQueueSize() { return this.queue.length; }
    configure(config) {
      this.real.configure(config);
      this.timer ??= setInterval(() => this.next(), 150);
    }
    decode(chunk) {
      this.queue.push(chunk);
      window.mostQueued = Math.max(window.mostQueued, this.queue.length);
    }
    next() {
      if (!this.queue.length) return;
      this.real.decode(this.queue.shift());
      this.ondequeue?.();
    }
    close() {
      clearInterval(this.timer);
      this.real.close();
    }
  };
})()"""
# Decoders in hardware give a picture only when some more have come.
HOLDING_DECODER = """(() => {
  const Real = window.VideoDecoder;
  window.VideoDecoder = class extends Real {
    constructor({ output, error }) {
      const held = [];
      const hold = (image) => {
        held.push(image);
        if (held.length > 4) output(held.shift());
      };
      super({ error, output: hold });
    }
  };
})()"""
# A decoder that accepts its configuration and fails at the first picture, as where a driver lacks.
BROKEN_DECODER = """(() => {
  const Real = window.VideoDecoder;
  window.VideoDecoder = class {
    static isConfigSupported(config) { return Real.isConfigSupported(config); }
    constructor({ error }) {
      this.error = error;
      this.state = "unconfigured";
      this.decodeQueueSize = 0;
    }
    configure() { this.state = "configured"; }
    decode() {
      queueMicrotask(() => {
        if (this.state === "closed") return;
        this.state = "closed";
        this.error(new Error("no hardware"));
      });
    }
    close() { this.state = "closed"; }
  };
})()"""
