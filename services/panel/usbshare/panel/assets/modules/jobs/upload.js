// Sends a file to the host, and gets a preview of one: the two things that do not go over the socket.

import { texts } from "../../texts/en.js";
import { Failure } from "../socket.js";

// Far from the numbers of requests, and another on each page: all pages hear of all uploads.
const FIRST_PROGRESS = 1_000_000_000 + Math.floor(Math.random() * 3_000_000_000);

let uploads = 0;

/** Returns a number under which `Progress` of an upload comes. */
export function progressNumber() {
  uploads += 1;
  return FIRST_PROGRESS + uploads;
}

function withToken(parameters) {
  const search = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(parameters)) search.set(name, value);
  return search;
}

/** Uploads a file; resolves to the host's `File`. */
export async function upload(host, portId, file, progress, signal) {
  const query = withToken({ host, port: portId, name: file.name, progress });
  const reply = await ask(`/upload?${query}`, { method: "POST", headers: { "X-Usbshare": "1" }, body: file, signal });
  const answer = await reply.json().catch(() => ({}));
  if (!reply.ok || answer.text || !answer.sha256) throw new Failure({ ...answer, text: answer.text || texts.socket.badStatus(reply.status) });
  return answer;
}

/** Returns the segments of a stored file: `{box, segments}`. */
export async function segments(host, portId, sha256, signal) {
  const reply = await ask(previewAddress(host, portId, sha256, "json"), { signal });
  if (!reply.ok) {
    const answer = await reply.json().catch(() => ({}));
    throw new Failure({ ...answer, text: answer.text || texts.socket.badStatus(reply.status) });
  }
  return reply.json();
}

/** Where the preview of a stored file is. */
export function previewAddress(host, portId, sha256, format) {
  return `/preview?${withToken({ host, port: portId, sha256, format })}`;
}

async function ask(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ text: texts.socket.notConnected });
  }
}
