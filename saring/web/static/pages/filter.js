// The cut of a label: it is moved with the slider, by dragging over the histogram, or by typing. The counts come from
// the histogram's bins, so they change at once; the texts next to the cut are asked for when the cut rests.

const tool = document.getElementById("cut-tool");

if (tool) {
  const first = Number(tool.dataset.first);
  const step = Number(tool.dataset.step);
  const digits = Number(tool.dataset.digits);
  const counts = tool.dataset.counts.split(",").map(Number);
  const form = document.getElementById("cut-form");
  const range = document.getElementById("cut-range");
  const typed = document.getElementById("cut");
  const told = document.getElementById("cut-counts");
  const saved = document.getElementById("save-cut");
  const chart = tool.querySelector("svg.chart");
  const bars = [...chart.querySelectorAll(":scope > rect.fill")];
  const line = chart.querySelector("line.cut");
  const edge = (i) => Number(((first + i) * step).toFixed(digits));
  const low = edge(0);
  const high = edge(counts.length);
  // texts below each edge
  const below = [0];
  for (const count of counts) below.push(below.at(-1) + count);
  const total = below.at(-1);
  // the ends of the horizontal axis: bars have half a unit of space on each side
  const left = Number(bars[0].getAttribute("x")) - 0.5;
  const last = bars.at(-1);
  const right = Number(last.getAttribute("x")) + Number(last.getAttribute("width")) + 0.5;
  const centres = bars.map((bar) => Number(bar.getAttribute("x")) + Number(bar.getAttribute("width")) / 2);
  const number = new Intl.NumberFormat(document.documentElement.lang);

  // Inside a bin the count is not known exactly: it is shared out evenly, and the server tells the exact one.
  const dropped = (cut) => {
    const place = Math.min(counts.length, Math.max(0, cut / step - first));
    const nearest = Math.round(place);
    if (Math.abs(place - nearest) < 1e-6) return below[nearest];
    const bin = Math.floor(place);
    return Math.round(below[bin] + counts[bin] * (place - bin));
  };

  const show = (cut, from) => {
    const gone = dropped(cut);
    const text = String(Number(cut.toFixed(6)));
    const x = left + Math.min(1, Math.max(0, (cut - low) / (high - low))) * (right - left);
    line.setAttribute("x1", x.toFixed(1));
    line.setAttribute("x2", x.toFixed(1));
    bars.forEach((bar, i) => {
      bar.classList.toggle("c2", centres[i] < x);
      bar.classList.toggle("c1", centres[i] >= x);
    });
    const words = tool.dataset.words
      .replace("{cut}", text)
      .replace("{kept}", number.format(total - gone))
      .replace("{dropped}", number.format(gone));
    told.textContent = words;
    range.setAttribute("aria-valuetext", words);
    if (from !== range) range.value = String(cut);
    if (from !== typed) typed.value = text;
    if (saved && from !== saved) saved.value = text;
  };

  const move = (cut, from) => {
    if (!Number.isFinite(cut)) return;
    show(cut, from);
    form.dispatchEvent(new CustomEvent("cut-moved"));
  };

  const read = (field) => Number.parseFloat(field.value.replace(",", "."));
  const atPointer = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const share = Math.min(1, Math.max(0, (point.x - left) / (right - left)));
    return edge(Math.round(share * counts.length));
  };

  range.addEventListener("input", () => move(edge(Math.round(Number(range.value) / step - first)), range));
  typed.addEventListener("input", () => move(read(typed), typed));
  saved?.addEventListener("input", () => move(read(saved), saved));
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    chart.setPointerCapture(event.pointerId);
    move(atPointer(event));
  });
  chart.addEventListener("pointermove", (event) => {
    if (chart.hasPointerCapture(event.pointerId)) move(atPointer(event));
  });

  range.closest("[hidden]").hidden = false;
  told.hidden = false;
  tool.dataset.ready = "yes";
  const begin = read(typed);
  if (Number.isFinite(begin)) show(begin, typed);
}
