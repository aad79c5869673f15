// Choose all texts of the page at once, and say the share of each strategy while it is typed.

for (const button of document.querySelectorAll("[data-choose]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const boxes = [...button.form.querySelectorAll("input[name=text]")];
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
  });
}

const shares = [...document.querySelectorAll("[data-share]")];

function tell() {
  const values = shares.map((field) => Math.max(0, Number(field.value) || 0));
  const whole = values.reduce((sum, value) => sum + value, 0);
  shares.forEach((field, i) => {
    const output = document.querySelector(`output[for="${CSS.escape(field.id)}"]`);
    output.textContent = whole ? `= ${Math.round((100 * values[i]) / whole)}%` : "";
  });
}

for (const field of shares) field.addEventListener("input", tell);
if (shares.length) tell();
