// What every page does: menus close by Escape and by a press elsewhere; a form that is being sent is not sent again; a page
// that waits looks again.

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open], .person[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector(".menu[open], .person[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.dataset.hxPost) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});

// a page that waits for something asks every few seconds, and is shown anew once it is otherwise
const pause = Number(document.body.dataset.again) * 1000;
const words = (page) => page.querySelector("main")?.textContent;

async function lookAgain() {
  const here = location.href.split("#")[0];
  try {
    const answer = await fetch(here, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.url !== here || words(page) !== words(document)) {
      location.replace(answer.url);
      return;
    }
  } catch {
    // the server is away as well
  }
  setTimeout(lookAgain, pause);
}

if (pause) setTimeout(lookAgain, pause);

// a page that is shown again from the browser's memory can be sent again
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
