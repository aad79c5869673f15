// Keys: `?` shows the list, `g` and a letter go to a page, `/` to the search; an element with `data-key` is pressed by its key.

const FIELDS = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, select, [contenteditable]";
let going = false;

function showKeys() {
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const list = document.getElementById("page-keys");
  list.replaceChildren();
  for (const element of document.querySelectorAll("[data-key]")) {
    const term = document.createElement("dt");
    const key = document.createElement("kbd");
    key.textContent = element.dataset.key === " " ? "Space" : element.dataset.key;
    term.append(key);
    const words = document.createElement("dd");
    words.textContent = element.dataset.keyHelp || element.getAttribute("aria-label") || element.textContent.trim();
    list.append(term, words);
  }
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest?.(FIELDS) || document.querySelector("dialog[open]")) return;
  if (going) {
    going = false;
    const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
    return;
  }
  if (event.key === "?") {
    event.preventDefault();
    showKeys();
  } else if (event.key === "g") {
    going = true;
    setTimeout(() => { going = false; }, 1500);
  } else if (event.key === "/") {
    event.preventDefault();
    const field = document.querySelector("[type=search]");
    if (field) field.focus();
    else location.assign("/search");
  } else {
    const element = [...document.querySelectorAll(`[data-key="${CSS.escape(event.key)}"]`)].find((e) => e.checkVisibility() && !e.disabled);
    if (element) {
      event.preventDefault();
      element.click();
    }
  }
});
