// Review: the next text is loaded before it is wanted, and shown at once when this one is sent or skipped.

const place = document.getElementById("item");
const told = document.getElementById("told");
const count = document.getElementById("count");
const kind = place.dataset.kind;
let next = null;
let loading = null;
let sending = Promise.resolve();
let settled = 0;

const shown = () => place.querySelector(".one");

function tell(message) {
  told.textContent = message;
  told.hidden = !message;
}

function prepare(article) {
  for (const button of article.querySelectorAll(".cycle")) button.hidden = false;
  return article;
}

// The text after this one; the server passes over those that the page has.
function load(after = "") {
  const had = [shown()?.dataset.text].filter(Boolean);
  const query = new URLSearchParams({ without: had.join(","), after: after || field("after") });
  loading = sending
    .then(() => fetch(`/review/${kind}/next?${query}`, { headers: { Accept: "text/html" } }))
    .then((answer) => (answer.ok ? answer.text() : null))
    .then((html) => {
      const article = html ? new DOMParser().parseFromString(html, "text/html").querySelector(".one") : null;
      next = article ? prepare(document.adoptNode(article)) : null;
    })
    .catch(() => { next = null; });
}

function field(name) {
  return shown()?.querySelector(`[name=${name}]`)?.value ?? "";
}

function show(article) {
  // it was about the text before
  document.querySelector("main > .notice")?.remove();
  place.replaceChildren(article);
  article.querySelector("h1")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

async function advance(fallback, after) {
  if (!next) await loading;
  if (!next) {
    await sending;
    if (!told.hidden) return;
    location.assign(fallback);
    return;
  }
  const article = next;
  next = null;
  show(article);
  load(after);
}

function complaint(form) {
  const marked = [...form.querySelectorAll(".marks input:checked")].some((input) => input.value);
  if (!marked) return place.dataset.unmarked;
  if (!form.querySelector("[name=ground]:checked") && !form.elements.words.value.trim()) return place.dataset.noReason;
  return "";
}

async function send(article, form) {
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "X-Saring-Script": "yes" },
      keepalive: true,
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") {
      settled += 1;
      count.textContent = `${count.dataset.message} ${settled}`;
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const again = page.querySelector("#item .one");
    const problem = page.querySelector("main .problem[role=alert]:not(#told)")?.textContent;
    returned(again ? prepare(document.adoptNode(again)) : article, problem);
  } catch {
    returned(article, "");
  }
  delete form.dataset.sent;
}

// A text that was not settled is shown again; the one that is at hand waits, with its marks.
function returned(article, problem) {
  const at = shown();
  if (at && at !== article && at.dataset.text && at.dataset.text !== article.dataset.text) next = at;
  show(article);
  tell(problem || place.dataset.unsent);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented) return;
  if (form.id === "undo") {
    // what is being sent comes first, or another one would be taken back
    event.preventDefault();
    sending.then(() => form.submit());
    return;
  }
  if (!form.matches(".settle")) return;
  event.preventDefault();
  const problem = complaint(form);
  tell(problem);
  if (problem) {
    delete form.dataset.sent;
    return;
  }
  const article = shown();
  const after = field("after");
  sending = send(article, form);
  advance(`/review/${kind}?after=${encodeURIComponent(after)}`, after);
});

document.addEventListener("click", (event) => {
  const cycle = event.target.closest(".cycle");
  if (cycle) {
    const marks = [...cycle.closest(".marks").querySelectorAll("input")];
    const now = marks.findIndex((input) => input.checked);
    marks[(now + 1) % marks.length].checked = true;
    return;
  }
  const skip = event.target.closest(".skip-text");
  if (skip && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    tell("");
    advance(skip.href, shown().dataset.place);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("a, button, summary, textarea, input, select") || document.querySelector("dialog[open]")) return;
  const form = place.querySelector("form.settle");
  if (form) {
    event.preventDefault();
    form.requestSubmit();
  }
});

if (shown()) prepare(shown());
load();
