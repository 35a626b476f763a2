// Reads a QR code with the camera of the device that shows the page, where its browser can.

import { texts } from "../texts/en.js";
import { dialog } from "./dialogs.js";
import { h } from "./dom.js";

/** Whether this browser can: it needs a secure context and BarcodeDetector. */
export function canScan() {
  return "BarcodeDetector" in window && Boolean(navigator.mediaDevices?.getUserMedia);
}

/** Shows the camera until a code is seen; resolves to its text, null if the person cancels. */
export async function scan() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  let isOver = false;
  try {
    return await dialog(texts.scan.title, (close) => {
      const video = h("video", { class: "scan", autoplay: true, muted: true, playsInline: true, srcObject: stream });
      const look = async () => {
        if (isOver) return;
        const [code] = await detector.detect(video).catch(() => []);
        if (code) close(code.rawValue);
        else requestAnimationFrame(look);
      };
      video.addEventListener("playing", look, { once: true });
      const cancel = h("button", { class: "button", type: "button", onclick: () => close(null) }, texts.cancel);
      return [h("p", {}, texts.scan.how), video, h("div", { class: "actions" }, cancel)];
    });
  } finally {
    isOver = true;
    for (const track of stream.getTracks()) track.stop();
  }
}
