// Labelling on a phone. What is to be answered and what was answered lies in the browser's storage, so that the page works
// where there is no network; an answer is removed from there once the server has it.

const door = document.getElementById("door");
const part = (id) => document.getElementById(id);
const KEY = `saring.label.${door.dataset.who}`;
// milliseconds: a second press of a finger does not answer the next text; and until the next try to send
const SETTLE = 350, AGAIN = 15_000;
// answers that one can go back to
const BACK = 5;
const ticks = [...document.querySelectorAll(".tick")];

let state = { tasks: [], waiting: [], given: [], today: 0, problem: null, csrf: "" };
let chosen = new Set(), shownAt = 0, openedAt = Date.now(), restless = false, busy = false, wanted = false, timer = 0;

function load() {
  try {
    const { last, ...kept } = JSON.parse(localStorage.getItem(KEY) || "{}");
    // as an older version of this page kept it
    state = { ...state, ...(last ? { given: [last] } : {}), ...kept };
  } catch {
    localStorage.removeItem(KEY);
  }
}

function save() {
  const { csrf, problem, ...kept } = state;
  localStorage.setItem(KEY, JSON.stringify(kept));
}

// randomUUID is there on https and on this machine only
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const same = (one, other) => one.project === other.project && one.task === other.task;
const current = () => state.tasks[0];

// what is shown

function tell() {
  const words = (element, number) => element.dataset.words.replace("{n}", number);
  part("today").textContent = words(part("today"), state.today);
  part("waiting").textContent = words(part("waiting"), state.waiting.length);
  part("waiting").hidden = state.waiting.length === 0;
  part("undo").disabled = state.given.length === 0;
}

function trouble(name) {
  part("trouble").textContent = name ? part("trouble").dataset[name] : "";
  part("trouble").hidden = !name;
}

function cover(hidden) {
  part("text").classList.toggle("hidden", hidden);
  part("text").setAttribute("aria-hidden", String(hidden));
  part("show").hidden = !hidden;
  part("hide").hidden = hidden || !current()?.hidden;
}

function press() {
  for (const tick of ticks) tick.setAttribute("aria-pressed", String(chosen.has(tick.dataset.label)));
  part("submit").disabled = chosen.size === 0;
}

function show() {
  const task = current(), resting = restless && Boolean(task);
  tell();
  part("rest").hidden = !resting;
  part("task").hidden = part("acts").hidden = !task || resting;
  part("nothing").hidden = Boolean(task) || !state.problem;
  for (const message of part("nothing").querySelectorAll("[data-problem]")) {
    message.hidden = message.dataset.problem !== state.problem;
  }
  if (!task || resting) return;
  const key = `${task.project}:${task.task}:${task.replaces || ""}`;
  if (part("task").dataset.key === key) return;
  part("task").dataset.key = key;
  // hidden first, so that nothing harsh is seen for a moment
  cover(Boolean(task.hidden));
  part("text").textContent = task.text;
  part("text").lang = task.language || "";
  part("excluded").textContent = "";
  part("why").hidden = !task.why;
  part("why").open = false;
  part("why-text").textContent = task.why;
  part("none").hidden = !task.none;
  part("undecided").hidden = !task.undecided;
  for (const tick of ticks) tick.hidden = !task.labels.includes(tick.dataset.label);
  chosen = new Set(task.chosen || task.ticked);
  press();
  shownAt = Date.now();
  const acts = [...part("acts").children].filter((button) => button.id !== "undo");
  for (const button of acts) button.disabled = true;
  setTimeout(() => {
    for (const button of acts) button.disabled = button.id === "submit" && chosen.size === 0;
  }, SETTLE);
  window.scrollTo(0, 0);
  part("text").focus({ preventScroll: true });
}

// what is done

function tick(button) {
  const label = button.dataset.label;
  part("excluded").textContent = "";
  if (chosen.has(label)) {
    chosen.delete(label);
  } else {
    const excluded = button.dataset.excludes.split("|").filter((other) => chosen.has(other));
    for (const other of excluded) chosen.delete(other);
    const names = ticks.filter((one) => excluded.includes(one.dataset.label)).map((one) => one.textContent.trim());
    if (names.length) part("excluded").textContent = part("excluded").dataset.words.replace("{label}", names.join(", "));
    chosen.add(label);
  }
  press();
}

function answer(kind) {
  const task = current();
  if (!task || (kind === "labels" && !chosen.size)) return;
  const given = {
    id: newId(), project: task.project, task: task.task, kind, labels: kind === "labels" ? [...chosen] : [],
    seconds: (Date.now() - shownAt) / 1000, at: new Date().toISOString(), replaces: task.replaces || null,
  };
  state.waiting.push(given);
  state.given = [...state.given, { task, answer: given }].slice(-BACK);
  state.tasks.shift();
  if (!task.replaces) state.today += 1;
  if (Date.now() - openedAt > Number(door.dataset.break) * 60_000) restless = true;
  save();
  show();
  send();
}

// The text before comes back with its answer, and the one before that if it is pressed again. An answer that has not left
// the browser is taken back; another one is corrected.
function undo() {
  if (!state.given.length) return;
  const { task, answer: given } = state.given.pop();
  // one that was tried may have arrived, whatever the network said
  const here = state.waiting.findIndex((one) => one.id === given.id && !one.tried);
  const back = { ...task, chosen: given.kind === "labels" ? given.labels : [], hidden: task.hidden, back: true };
  if (here >= 0) {
    state.waiting.splice(here, 1);
    if (!task.replaces) state.today -= 1;
  } else {
    back.replaces = given.id;
  }
  state.tasks.unshift(back);
  part("task").dataset.key = "";
  save();
  show();
}

// with the server

async function ask(address, options) {
  const answer = await fetch(address, { headers: { Accept: "application/json" }, ...options });
  if (answer.status === 401) throw new Error("signedOut");
  if (!answer.ok) throw new Error(String(answer.status));
  const said = await answer.json();
  if (String(said.who) !== door.dataset.who) throw new Error("signedOut");
  state.csrf = said.csrf;
  return said;
}

async function post(waiting) {
  const body = () => new URLSearchParams({ csrf: state.csrf, answers: JSON.stringify(waiting) });
  try {
    return await ask("/label/answers", { method: "POST", body: body() });
  } catch (problem) {
    if (problem.message !== "403") throw problem;
    // the page is of an older session
    await ask("/label/tasks");
    return ask("/label/answers", { method: "POST", body: body() });
  }
}

async function round() {
  if (state.waiting.length) {
    if (!state.csrf) await ask("/label/tasks");
    const some = state.waiting.slice(0, 100);
    for (const one of some) one.tried = true;
    save();
    const said = await post(some);
    state.waiting = state.waiting.filter((one) => !(one.id in said.kept));
    save();
    trouble(Object.values(said.kept).includes("not held") ? "lost" : null);
    if (state.waiting.length) wanted = true;
  }
  const said = await ask("/label/tasks");
  const answered = (task) => state.waiting.some((one) => same(one, task));
  // what is before the person stays there, and what they went back to
  const stays = (task, place) =>
    task.replaces || ((task.back || place === 0) && said.tasks.some((other) => same(other, task)));
  const kept = state.tasks.filter(stays);
  const rest = said.tasks.filter((task) => !answered(task) && !kept.some((other) => same(other, task)));
  // where Label Studio is away, what is in hand stays
  if (said.problem !== "away") state.tasks = [...kept, ...rest];
  state.today = said.today + state.waiting.filter((one) => !one.replaces).length;
  state.problem = said.problem;
  save();
}

async function send() {
  if (busy) {
    wanted = true;
    return;
  }
  busy = true;
  clearTimeout(timer);
  try {
    do {
      wanted = false;
      await round();
    } while (wanted);
    part("offline").hidden = true;
    if (part("trouble").textContent === part("trouble").dataset.signedOut) trouble(null);
  } catch (problem) {
    if (problem.message === "signedOut") trouble("signedOut");
    else part("offline").hidden = false;
    if (!current()) state.problem ||= "away";
    timer = setTimeout(send, AGAIN);
  } finally {
    busy = false;
    door.hidden = false;
    show();
  }
}

async function keepPage() {
  if (!("serviceWorker" in navigator) || !window.isSecureContext) return;
  await navigator.serviceWorker.register("/label-worker.js", { scope: "/label" });
  const kept = await caches.open("saring-label-1");
  const files = performance.getEntriesByType("resource").map((entry) => entry.name);
  for (const file of files.filter((name) => new URL(name).pathname.startsWith("/static/"))) {
    if (!(await kept.match(file))) await kept.add(file);
  }
  if (navigator.onLine && !(await kept.match("/label"))) await kept.add("/label");
}

for (const button of ticks) button.addEventListener("click", () => tick(button));
for (const [id, kind] of [["submit", "labels"], ["none", "none"], ["undecided", "undecided"], ["skip", "skipped"]]) {
  part(id).addEventListener("click", () => answer(kind));
}
part("undo").addEventListener("click", undo);
part("show").addEventListener("click", () => { cover(false); part("text").focus({ preventScroll: true }); });
part("hide").addEventListener("click", () => { cover(true); part("show").focus({ preventScroll: true }); });
part("again").addEventListener("click", send);
part("go-on").addEventListener("click", () => { restless = false; openedAt = Date.now(); show(); });
window.addEventListener("online", send);
document.addEventListener("visibilitychange", () => { if (!document.hidden) send(); });
// whoever signs out leaves no text behind; answers stay until they are sent
document.querySelector('form[action="/sign-out"]')?.addEventListener("submit", () => {
  state.tasks = [];
  state.given = [];
  if (state.waiting.length) save();
  else localStorage.removeItem(KEY);
  if ("caches" in window) caches.delete("saring-label-1");
});

load();
if (current()) { door.hidden = false; show(); }
send();
keepPage().catch(() => {});
