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
const kinds = { submit: "labels", none: "none", undecided: "undecided", skip: "skipped" };

let state = { tasks: [], waiting: [], given: [], today: 0, problem: null, csrf: "" };
let chosen = new Set(), shownAt = 0, openedAt = Date.now(), restless = false, busy = false, wanted = false, timer = 0;
// why the last try reached nobody: "offline", "failing" (the server), "signedOut"; null: it did not fail
let away = navigator.onLine ? null : "offline";

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

// what an answer that waits adds to today's number: a text that was skipped is not counted, nor a correction
const adds = (given) => given.adds ?? (given.replaces ? 0 : 1);
const counted = (kind) => (kind === "skipped" ? 0 : 1);
const same = (one, other) => one.project === other.project && one.task === other.task;
const current = () => state.tasks[0];

// what is shown

// a line of the state's, with the dot before it; none where there are no words
function line(name, words) {
  part(name).textContent = words;
  part(name).parentElement.hidden = !words;
}

// What this browser found comes after what the server said last, except that Label Studio is away: that may be over.
const problem = () => (state.problem && state.problem !== "away" ? state.problem : away || state.problem);

function tell() {
  const { words, sending } = part("waiting").dataset, number = state.waiting.length;
  part("today").textContent = part("today").dataset.words.replace("{n}", state.today);
  line("waiting", number ? (busy && !away ? sending : words).replace("{n}", number) : "");
  // without a text, the same stands in its place
  line("offline", (current() || problem() !== away) && part("offline").dataset[away] || "");
  part("undo").disabled = state.given.length === 0;
}

function trouble(name) {
  part("trouble").textContent = name ? part("trouble").dataset[name] : "";
  part("trouble").hidden = !name;
}

function cover(hidden) {
  part("text").classList.toggle("hidden", hidden);
  part("text").setAttribute("aria-hidden", String(hidden));
  part("show").hidden = part("why-hidden").hidden = !hidden;
  part("hide").hidden = hidden || !current()?.hidden;
}

function press() {
  for (const tick of ticks) tick.setAttribute("aria-pressed", String(chosen.has(tick.dataset.label)));
  const empty = chosen.size === 0;
  part("submit").disabled = empty;
  part("need").hidden = !empty || Boolean(part("answered").textContent);
  if (empty) part("submit").setAttribute("aria-describedby", "need");
  else part("submit").removeAttribute("aria-describedby");
}

// A text that came back: which button it was answered with. Ticks show themselves.
function recall(kind) {
  const pressed = Object.keys(kinds).find((id) => kinds[id] === kind && kind !== "labels");
  for (const id of Object.keys(kinds)) {
    part(id).classList.toggle("given", id === pressed);
    part(id).removeAttribute("aria-describedby");
  }
  if (pressed) part(pressed).setAttribute("aria-describedby", "answered");
  const name = pressed ? part(pressed).textContent.trim() : "";
  part("answered").textContent = name ? part("answered").dataset.words.replace("{answer}", name) : "";
}

function show() {
  const task = current(), resting = restless && Boolean(task);
  tell();
  part("rest").hidden = !resting;
  part("task").hidden = !task || resting;
  // what was answered last can be corrected, whatever comes next
  part("acts").classList.toggle("alone", !task || resting);
  part("acts").hidden = (!task || resting) && !state.given.length;
  const why = problem();
  part("nothing").hidden = Boolean(task) || !why || why === "signedOut";
  for (const message of part("nothing").querySelectorAll("[data-problem]")) message.hidden = message.dataset.problem !== why;
  for (const link of document.querySelectorAll("#door .elsewhere")) link.hidden = away === "offline";
  const coming = task || why ? "" : part("coming").dataset.words;
  // said once: a live region is read aloud whenever it is written
  if (part("coming").textContent !== coming) part("coming").textContent = coming;
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
  recall(task.answered);
  press();
  shownAt = Date.now();
  const acts = Object.keys(kinds).map(part);
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
    const names = ticks.filter((other) => excluded.includes(other.dataset.label)).map((other) => other.textContent.trim());
    const { words, many } = part("excluded").dataset;
    const sentence = names.length > 1 ? many : words;
    if (names.length) {
      part("answered").textContent = "";
      part("excluded").textContent = sentence.replace("{others}", names.join(", ")).replace("{label}", button.textContent.trim());
    }
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
    adds: counted(kind) - (task.replaces ? counted(task.before) : 0),
  };
  state.waiting.push(given);
  state.given = [...state.given, { task, answer: given }].slice(-BACK);
  state.tasks.shift();
  state.today += given.adds;
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
  // whoever corrects does not rest: the break is offered again after the answer
  restless = false;
  // one that was tried may have arrived, whatever the network said
  const here = state.waiting.findIndex((one) => one.id === given.id && !one.tried);
  const back = { ...task, chosen: given.kind === "labels" ? given.labels : [], back: true, answered: given.kind };
  if (here >= 0) {
    state.waiting.splice(here, 1);
    state.today -= adds(given);
  } else {
    back.replaces = given.id;
    back.before = given.kind;
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
    await ask("/label/tasks?want=1");
    return ask("/label/answers", { method: "POST", body: body() });
  }
}

async function round() {
  if (state.waiting.length) {
    if (!state.csrf) await ask("/label/tasks?want=1");
    const some = state.waiting.slice(0, 100);
    for (const one of some) one.tried = true;
    save();
    const said = await post(some);
    state.waiting = state.waiting.filter((one) => !(one.id in said.kept));
    save();
    trouble(Object.values(said.kept).includes("not held") ? "lost" : null);
    if (state.waiting.length) wanted = true;
  }
  // Label Studio takes a moment for each text that it gives out: whoever has none is not to wait for several
  const few = !current();
  const said = await ask(few ? "/label/tasks?want=1" : "/label/tasks");
  if (few && said.tasks.length) wanted = true;
  const answered = (task) => state.waiting.some((one) => same(one, task));
  // what is before the person stays there, and what they went back to
  const stays = (task, place) =>
    few || task.replaces || ((task.back || place === 0) && said.tasks.some((other) => same(other, task)));
  const kept = state.tasks.filter(stays);
  const rest = said.tasks.filter((task) => !answered(task) && !kept.some((other) => same(other, task)));
  // where Label Studio is away, what is in hand stays
  if (said.problem !== "away") state.tasks = [...kept, ...rest];
  state.today = said.today + state.waiting.reduce((sum, given) => sum + adds(given), 0);
  state.problem = said.problem;
  away = null;
  save();
  show();
}

async function send() {
  if (busy) {
    wanted = true;
    return;
  }
  busy = true;
  tell();
  clearTimeout(timer);
  try {
    do {
      wanted = false;
      await round();
    } while (wanted);
    if (part("trouble").textContent === part("trouble").dataset.signedOut) trouble(null);
  } catch (failure) {
    // the browser's own error where nothing was reached
    away = failure.message === "signedOut" ? "signedOut" : failure instanceof TypeError ? "offline" : "failing";
    if (away === "signedOut") trouble("signedOut");
    timer = setTimeout(send, AGAIN);
  } finally {
    busy = false;
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
for (const [id, kind] of Object.entries(kinds)) part(id).addEventListener("click", () => answer(kind));
part("undo").addEventListener("click", undo);
part("show").addEventListener("click", () => { cover(false); part("text").focus({ preventScroll: true }); });
part("hide").addEventListener("click", () => { cover(true); part("show").focus({ preventScroll: true }); });

// looked for anew: what was found before is shown no longer
function again() {
  away = null;
  state.problem = null;
  show();
  send();
}

part("again").addEventListener("click", again);
part("go-on").addEventListener("click", () => { restless = false; openedAt = Date.now(); show(); });
window.addEventListener("online", again);
window.addEventListener("offline", () => { away = "offline"; show(); });
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
door.hidden = false;
show();
send();
keepPage().catch(() => {});
