// Opens the labelling page where there is no network. Texts and answers are not its concern: the page keeps those.

const KEPT = "saring-label-1";
const PAGE = "/label";

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name.startsWith("saring-label-") && name !== KEPT) await caches.delete(name);
    await self.clients.claim();
  })());
});

// the page: the newest where there is a network, else as it was last
async function page(request) {
  const kept = await caches.open(KEPT);
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await kept.put(PAGE, answer.clone());
    return answer;
  } catch (away) {
    const before = await kept.match(PAGE);
    if (before) return before;
    throw away;
  }
}

// files change their address with their content, so one that is kept is the right one
async function file(request) {
  const kept = await caches.open(KEPT);
  const before = await kept.match(request);
  if (before) return before;
  const answer = await fetch(request);
  if (answer.ok) await kept.put(request, answer.clone());
  return answer;
}

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== location.origin) return;
  if (event.request.mode === "navigate" && address.pathname === PAGE) event.respondWith(page(event.request));
  else if (address.pathname.startsWith("/static/")) event.respondWith(file(event.request));
});
