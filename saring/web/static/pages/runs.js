// Changes of runs as they happen. Without this module the pages show the same when they are opened again.

const root = document.querySelector("[data-events]");
const away = document.querySelector("[data-away]");
const numbers = new Intl.NumberFormat(document.documentElement.lang);
let source = null;
let cursor = "";

function show(lost) {
  if (away) away.hidden = !lost;
}

async function part(address) {
  const response = await fetch(address, { headers: { "HX-Request": "true" } });
  if (response.status === 401) location.reload();
  if (!response.ok) return null;
  const template = document.createElement("template");
  template.innerHTML = (await response.text()).trim();
  return template.content;
}

// At most one request at a time for each key, a second apart; the newest change is never left out.
const busy = new Map();
function soon(key, work) {
  if (busy.has(key)) {
    busy.set(key, true);
    return;
  }
  busy.set(key, false);
  Promise.resolve(work()).catch(() => show(true)).finally(() => setTimeout(() => {
    const again = busy.get(key);
    busy.delete(key);
    if (again) soon(key, work);
  }, 1000));
}

function progress(place, run) {
  const bar = place.querySelector("progress");
  const words = place.querySelector("[data-progress]");
  if (!words || (run.total !== null && !bar)) return false;
  if (bar && run.total !== null) {
    bar.max = run.total;
    bar.value = Math.min(run.done, run.total);
    words.textContent = words.textContent.replace(/^[\d.,\s]*\d/, numbers.format(run.done));
  } else words.textContent = numbers.format(run.done);
  return true;
}

function onList(run) {
  const row = root.querySelector(`[data-run="${run.id}"]`);
  if (row && row.dataset.state === run.state && !run.stopping && progress(row, run)) return;
  if (!row && (root.dataset.grows === undefined || (run.stage === "pull" && run.state === "done"))) return;
  const newest = Number(root.querySelector("[data-run]")?.dataset.run ?? 0);
  if (!row && run.id < newest) return;
  soon(`row ${run.id}`, async () => {
    const fresh = await part(`/runs/${run.id}/row`);
    const now = root.querySelector(`[data-run="${run.id}"]`);
    if (!fresh) return;
    if (!now) root.tBodies[0].prepend(fresh);
    else if (!now.contains(document.activeElement)) now.replaceWith(fresh);
  });
}

let logged = Number([...document.querySelectorAll("[data-line]")].at(-1)?.dataset.line ?? 0);

function onRun(run) {
  soon("state", async () => {
    const old = document.getElementById("state");
    const fresh = await part(`/runs/${run.id}/state`);
    // nobody loses a button that they are on the way to press, unless it does nothing any more
    const held = old.contains(document.activeElement) && fresh?.firstElementChild?.dataset.state === old.dataset.state;
    if (fresh && held) old.querySelector(".progress").replaceWith(fresh.querySelector(".progress"));
    else if (fresh) old.replaceWith(fresh);
  });
  if (run.log > logged) {
    soon("log", async () => {
      const lines = await part(`/runs/${run.id}/log?after=${logged}`);
      const last = lines && [...lines.querySelectorAll("[data-line]")].at(-1);
      if (!last) return;
      logged = Number(last.dataset.line);
      const log = document.querySelector("[data-log]");
      log.hidden = false;
      document.querySelector("[data-no-log]").hidden = true;
      log.querySelector("tbody").append(lines);
    });
  }
}

function listen() {
  if (source || document.hidden) return;
  source = new EventSource(root.dataset.events + (cursor ? `?after=${encodeURIComponent(cursor)}` : ""));
  source.addEventListener("hello", () => show(false));
  source.addEventListener("away", () => show(true));
  source.addEventListener("back", () => show(false));
  source.addEventListener("run", (event) => {
    cursor = event.lastEventId || cursor;
    const run = JSON.parse(event.data);
    if (root.dataset.runPage) onRun(run);
    else onList(run);
  });
  source.addEventListener("error", () => {
    show(true);
    // a browser that was refused does not come back by itself
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(listen, 5000);
    }
  });
}

if (root) {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source) {
      source.close();
      source = null;
    } else listen();
  });
  listen();
}
