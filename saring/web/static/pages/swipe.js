// Swiping on the text, for whoever turned it on: to the right it submits, to the left it skips. It presses the buttons, so
// it can do nothing that they can't at that moment, and Undo brings the text back.

const part = (id) => document.getElementById(id);
const card = document.querySelector("#task .paper"), choice = part("swipe"), hint = part("swipe-hint");
const KEY = "saring.swipe";
// share of the card's width, and pixels, that a swipe needs; how much longer than high it is; the browser's own edge
const SHARE = 0.35, LEAST = 110, FLAT = 2, EDGE = 28, BEGINS = 12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let touch = null;

function remembered() {
  try {
    return localStorage.getItem(KEY) === "yes";
  } catch {
    return false;
  }
}

function end() {
  touch = null;
  card.style.transform = "";
  hint.hidden = true;
}

const limit = () => Math.max(LEAST, card.clientWidth * SHARE);
const button = (across) => part(across > 0 ? "submit" : "skip");
const far = ({ across, down }) => Math.abs(across) >= limit() && Math.abs(across) >= FLAT * Math.abs(down);

card.addEventListener("pointerdown", (event) => {
  // a second finger zooms, and the edges are the browser's own way back
  if (touch || !event.isPrimary) return end();
  const inside = event.clientX > EDGE && event.clientX < window.innerWidth - EDGE;
  if (!choice.checked || event.pointerType === "mouse" || !inside || event.target.closest("button")) return;
  touch = { id: event.pointerId, x: event.clientX, y: event.clientY, key: part("task").dataset.key, across: 0, down: 0 };
});

card.addEventListener("pointermove", (event) => {
  if (!touch || event.pointerId !== touch.id) return;
  touch.across = event.clientX - touch.x;
  touch.down = event.clientY - touch.y;
  if (!touch.goes) {
    if (Math.max(Math.abs(touch.across), Math.abs(touch.down)) < BEGINS) return;
    // whoever scrolls does not swipe, whatever the finger does next
    if (Math.abs(touch.across) < FLAT * Math.abs(touch.down)) return end();
    touch.goes = true;
    card.setPointerCapture(event.pointerId);
  }
  // no further than half of it, so that the hint stays in sight
  const most = card.clientWidth / 2, moved = Math.max(-most, Math.min(most, touch.across));
  if (!calm.matches) card.style.transform = `translateX(${moved}px)`;
  hint.classList.toggle("left", touch.across < 0);
  hint.textContent = button(touch.across).textContent;
  hint.classList.toggle("ready", far(touch) && !button(touch.across).disabled);
  hint.hidden = false;
});

card.addEventListener("pointerup", (event) => {
  if (!touch || event.pointerId !== touch.id) return;
  const { across, goes, key } = touch;
  const pressed = goes && far(touch) && key === part("task").dataset.key && getSelection().isCollapsed;
  end();
  if (pressed && !button(across).disabled) button(across).click();
});

card.addEventListener("pointercancel", end);

choice.checked = remembered();
choice.closest("p").hidden = navigator.maxTouchPoints === 0;
card.classList.toggle("swipes", choice.checked);
choice.addEventListener("change", () => {
  card.classList.toggle("swipes", choice.checked);
  try {
    localStorage.setItem(KEY, choice.checked ? "yes" : "no");
  } catch {
    // then it holds until the page is closed
  }
});
