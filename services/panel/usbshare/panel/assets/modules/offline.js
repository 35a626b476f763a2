// The page that is shown while the panel's program does not answer: looks for it, and goes there once it is back.

const EVERY_MS = 2000;
const state = document.getElementById("state");
document.getElementById("where").textContent = location.host;

async function look() {
  state.textContent = "Looking for it …";
  try {
    const reply = await fetch("/manifest.webmanifest", { cache: "no-store" });
    if (reply.ok) {
      location.reload();
      return;
    }
    state.textContent = `It answered with status ${reply.status}.`;
  } catch {
    state.textContent = `No answer at ${new Date().toLocaleTimeString("en-GB")}.`;
  }
}

document.getElementById("again").addEventListener("click", look);
addEventListener("online", look);
setInterval(() => document.hidden || look(), EVERY_MS);
