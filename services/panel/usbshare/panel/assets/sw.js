// Keeps one page for when the panel's program is not running. Everything else comes from it, always.

const CACHE = "usbshare-offline-1";
const OFFLINE = "/offline.html";
const KEPT = [OFFLINE, "/style.css", "/modules/theme.js", "/modules/offline.js", "/icons/icon.svg"];

addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => skipWaiting()));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(KEPT.map((path) => new Request(path, { cache: "reload" })));
}

addEventListener("activate", (event) => {
  event.waitUntil(dropOthers().then(() => clients.claim()));
});

async function dropOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const path = new URL(request.url).pathname;
  if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
  else if (request.method === "GET" && KEPT.includes(path)) event.respondWith(newest(request, path));
});

/** What the program serves, kept as the latest; what was kept while it does not run. */
async function newest(request, path) {
  try {
    const reply = await fetch(request);
    if (reply.ok) await (await caches.open(CACHE)).put(path, reply.clone());
    return reply;
  } catch {
    return caches.match(path);
  }
}
