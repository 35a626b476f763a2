// Decodes frames: H.264 by WebCodecs, JPEG by the browser's own decoder. The newest picture wins.

import { h264Codec } from "./picture_frame.js";

const MOST_QUEUED = 2;
const USUAL_CODEC = "avc1.42E01F";

/** Whether this browser decodes H.264; WebCodecs needs a secure context: HTTPS or this computer. */
export async function decodesH264() {
  if (typeof VideoDecoder !== "function") return false;
  try {
    const { supported } = await VideoDecoder.isConfigSupported({ codec: USUAL_CODEC });
    return Boolean(supported);
  } catch {
    return false;
  }
}

/**
 * Takes frames by `put`. Calls `show(frame, image)` for each decoded one, `done(frame)` when the decoder has
 * taken a frame or it was dropped, `needsKey()` when frames are dropped until the next key frame, `failed()`
 * when H.264 could not be decoded.
 */
export class PictureDecoder {
  #on;
  #decoder = null;
  #codec = "";
  #waiting = []; // given to the decoder, not yet done
  #shown = new Map(); // by timestamp
  #number = 0;
  #needsKey = true;
  #jpeg = null; // the newest that waits
  #isJpegBusy = false;
  #stream = null;
  #lastSequence = -1;
  #generation = 0;

  constructor(handlers) {
    this.#on = handlers;
  }

  put(frame) {
    if (frame.stream !== this.#stream) this.#begin(frame.stream);
    if (frame.isH264) this.#putH264(frame);
    else this.#putJpeg(frame);
  }

  close() {
    this.#generation += 1;
    this.#jpeg = null;
    this.#drop();
    this.#stream = null;
  }

  #begin(stream) {
    this.#stream = stream;
    this.#lastSequence = -1;
    this.#jpeg = null;
    this.#generation += 1;
    this.#drop();
  }

  #drop() {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#codec = "";
    this.#waiting = [];
    this.#shown.clear();
    this.#needsKey = true;
  }

  // ---- H.264

  #putH264(frame) {
    if (frame.isKey) {
      this.#needsKey = !this.#configure(frame);
    } else if (!this.#needsKey && this.#decoder.decodeQueueSize > MOST_QUEUED) {
      this.#needsKey = true; // what is in the queue is shown, what follows is too late
      this.#on.needsKey();
    } else if (this.#needsKey) {
      this.#on.needsKey();
    }
    if (this.#needsKey) {
      this.#on.done(frame);
      return;
    }
    const timestamp = this.#number++;
    this.#waiting.push(frame);
    this.#shown.set(timestamp, frame);
    const type = frame.isKey ? "key" : "delta";
    try {
      this.#decoder.decode(new EncodedVideoChunk({ type, timestamp, data: frame.data }));
    } catch {
      this.#fail();
      return;
    }
    this.#taken();
  }

  #configure(frame) {
    const codec = h264Codec(frame.data) ?? this.#codec;
    if (!codec) return false;
    if (this.#decoder?.state === "configured" && codec === this.#codec) return true;
    this.#drop();
    this.#codec = codec;
    const decoder = new VideoDecoder({
      output: (image) => this.#output(decoder, image),
      error: () => this.#decoder === decoder && this.#fail(),
    });
    decoder.ondequeue = () => this.#decoder === decoder && this.#taken();
    this.#decoder = decoder;
    try {
      decoder.configure({ codec, optimizeForLatency: true });
    } catch {
      this.#fail();
      return false;
    }
    return true;
  }

  /** Says `done` for what the decoder has begun with: not when it is shown, since some hold pictures back. */
  #taken() {
    while (this.#waiting.length > this.#decoder.decodeQueueSize) this.#on.done(this.#waiting.shift());
  }

  #output(decoder, image) {
    const frame = this.#shown.get(image.timestamp);
    if (decoder === this.#decoder && frame) {
      for (const timestamp of this.#shown.keys()) {
        if (timestamp <= image.timestamp) this.#shown.delete(timestamp);
      }
      this.#show(frame, image);
    }
    image.close();
  }

  #fail() {
    const waiting = this.#waiting;
    this.#drop();
    for (const frame of waiting) this.#on.done(frame);
    this.#on.failed();
  }

  // ---- JPEG

  #putJpeg(frame) {
    this.#jpeg = frame; // the one before it is done with it: acknowledging covers those before
    if (!this.#isJpegBusy) this.#decodeJpegs();
  }

  async #decodeJpegs() {
    this.#isJpegBusy = true;
    while (this.#jpeg) {
      const frame = this.#jpeg;
      const generation = this.#generation;
      this.#jpeg = null;
      let image = null;
      try {
        image = await createImageBitmap(new Blob([frame.data], { type: "image/jpeg" }));
      } catch {
        // Not a picture: the next one may be.
      }
      if (generation === this.#generation) {
        if (image) this.#show(frame, image);
        this.#on.done(frame);
      }
      image?.close();
    }
    this.#isJpegBusy = false;
  }

  #show(frame, image) {
    if (frame.sequence < this.#lastSequence) return;
    this.#lastSequence = frame.sequence;
    this.#on.show(frame, image);
  }
}
