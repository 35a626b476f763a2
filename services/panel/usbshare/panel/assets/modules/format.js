// Numbers, times and sizes as people read them. protobuf's JSON writes 64 bit numbers and durations as text.

import { texts } from "../texts/en.js";

const DIGITS = new Map();

function digits(count) {
  if (!DIGITS.has(count)) {
    const options = { minimumFractionDigits: count, maximumFractionDigits: count };
    DIGITS.set(count, new Intl.NumberFormat("en", options));
  }
  return DIGITS.get(count);
}

/** A count, such as `12,252`. */
export const count = (value) => digits(0).format(Number(value ?? 0));

/** A position or length in millimetres, such as `-0.020`. */
export function millimetres(value, places = 3) {
  const text = Number(value ?? 0).toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** Seconds of a protobuf duration (`"1.5s"`); null if there is none. */
export function seconds(duration) {
  if (duration == null || duration === "") return null;
  const value = Number.parseFloat(duration);
  return Number.isFinite(value) ? value : null;
}

/** A time in milliseconds, such as `1.2 ms`, `14 ms`, `1.4 s`. */
export function milliseconds(ms) {
  if (ms == null || !Number.isFinite(ms)) return texts.none;
  if (ms >= 1000) return `${digits(1).format(ms / 1000)} s`;
  return ms < 10 ? `${digits(1).format(ms)} ms` : `${digits(0).format(ms)} ms`;
}

/** A protobuf duration as milliseconds. */
export function durationMs(duration) {
  const value = seconds(duration);
  return value == null ? null : value * 1000;
}

/** How long something takes, such as `46 s`, `1:23`, `1:02:03`. */
export function span(totalSeconds) {
  if (totalSeconds == null || !Number.isFinite(totalSeconds)) return texts.none;
  const whole = Math.round(totalSeconds);
  if (whole < 60) return `${totalSeconds < 10 ? digits(1).format(totalSeconds) : whole} s`;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const SIZES = ["B", "kB", "MB", "GB"];

/** Bytes, such as `95.8 kB`. */
export function bytes(value) {
  let size = Number(value ?? 0);
  let unit = 0;
  while (size >= 1000 && unit < SIZES.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${digits(unit ? 1 : 0).format(size)} ${SIZES[unit]}`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** A time of day of today, otherwise day and time. */
export function clock(time) {
  if (!time) return texts.none;
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return texts.none;
  const isToday = date.toDateString() === new Date().toDateString();
  return (isToday ? CLOCK : DAY).format(date);
}

/** Bytes of protobuf's base64 as hexadecimal, such as `0x18`. */
export function hexBytes(base64) {
  if (!base64) return "";
  const raw = atob(base64.replace(/-/g, "+").replace(/_/g, "/"));
  return Array.from(raw, (each) => `0x${each.charCodeAt(0).toString(16).padStart(2, "0")}`).join(" ");
}

/** A text of a host as people read it: names instead of identities `usbshare://SITE/NAME`. */
export function people(text) {
  return (text ?? "").replace(/usbshare:\/\/[^/\s]+\//g, "");
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** A fingerprint in hexadecimal digits as hosts print it for people, such as `DXKB-MIAA`. */
export function shortFingerprint(hex) {
  const bits = Array.from((hex ?? "").slice(0, 10), (digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
  const letters = Array.from({ length: 8 }, (_, at) => BASE32[Number.parseInt(bits.slice(at * 5, at * 5 + 5), 2)]).join("");
  return bits.length === 40 && !letters.includes("undefined") ? `${letters.slice(0, 4)}-${letters.slice(4)}` : "";
}

/** The name behind an identity `usbshare://SITE/NAME`; the whole if it is something else. */
export function nameOf(identity) {
  return /^usbshare:\/\/[^/]+\/(.+)$/.exec(identity ?? "")?.[1] ?? identity ?? "";
}
