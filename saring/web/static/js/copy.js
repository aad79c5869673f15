// A value that is shown once: pressed, its field is selected as a whole, and a button copies it.

async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // there is no clipboard on plain http, and a person may refuse it
    if (!document.execCommand("copy")) return false;
  }
  return true;
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = button.parentElement.querySelector("input"), status = button.parentElement.querySelector("[role=status]");
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    status.textContent = "";
    if (await copy(field)) status.textContent = status.dataset.words;
  });
  button.hidden = false;
}
