// What the picture says to people; English.

export const pictureTexts = {
  canvas: (name) => (name ? `Live picture of ${name}` : "Live picture"),
  connecting: "Connecting to the camera…",
  noPicture: (reason) => (reason ? `No picture: ${reason}` : "No picture"),
  lost: (reason) => `The camera's host does not answer${reason ? `: ${reason}` : ""}. Trying again…`,
  refused: (reason) => `Not allowed: ${reason}`,
  noGateway: "The panel does not answer. Trying again…",
  stale: "No new picture arrives",
  age: (ms) => (ms < 1000 ? `${Math.round(ms)} ms old` : `${(ms / 1000).toFixed(1)} s old`),
  ageTitle: (own) =>
    "Age of the picture when it was drawn: the host's own time from capture to sending, the way to the panel, " +
    `and the way to this page (at least half its round trip of ${own} ms), each measured by one clock.`,
  format: { h264: "H.264", jpeg: "JPEG" },
  snapshot: "Save picture",
  snapshotFailed: (reason) => `The picture was not saved: ${reason}`,
  fullScreen: "Full screen",
  endFullScreen: "End full screen",
  retry: "Try again",
};
