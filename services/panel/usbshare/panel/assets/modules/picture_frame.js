// One binary message of the video socket, as `pictures/wire.py` describes it.

const VERSION = 1;
const HEADER_BYTES = 40;
const KEY = 1;
const PLACEHOLDER = 2;
const H264 = 4;

/** Returns the frame in a message; null if this page does not know its form. */
export function readFrame(buffer, arrivedMs) {
  if (buffer.byteLength < HEADER_BYTES) return null;
  const view = new DataView(buffer);
  if (view.getUint8(0) !== VERSION) return null;
  const flags = view.getUint8(1);
  return {
    isKey: Boolean(flags & KEY),
    isPlaceholder: Boolean(flags & PLACEHOLDER),
    isH264: Boolean(flags & H264),
    width: view.getUint16(2),
    height: view.getUint16(4),
    stream: view.getUint16(6),
    sequence: view.getFloat64(8),
    capturedUnixMs: view.getFloat64(16),
    ageSentMs: view.getFloat64(24),
    sentMs: view.getFloat64(32),
    arrivedMs,
    data: new Uint8Array(buffer, HEADER_BYTES),
  };
}

/** Returns the codec's name for WebCodecs from a key frame (Annex B); null if it has no parameters. */
export function h264Codec(data) {
  const SPS = 7;
  for (let at = 0; at + 6 < data.length; at += 1) {
    if (data[at] || data[at + 1] || data[at + 2] !== 1) continue;
    if ((data[at + 3] & 0x1f) !== SPS) continue;
    const hex = Array.from(data.subarray(at + 4, at + 7), (each) => each.toString(16).padStart(2, "0"));
    return `avc1.${hex.join("")}`;
  }
  return null;
}
