// Says beside the pointer, or the focused mark, what the mark says to a screen reader.
const tip = document.getElementById("tip");
const marks = '[role="graphics-symbol"][aria-label]:not([aria-roledescription="axis"], [aria-roledescription="legend"])';

function say(mark, x, y) {
  const [first, ...rest] = mark.getAttribute("aria-label").split("\n");
  const name = document.createElement("strong");
  name.textContent = first;
  tip.replaceChildren(name, rest.map((line) => "\n" + line).join(""));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16;
  tip.style.left = Math.max(left, 4) + "px";
  tip.style.top = Math.max(Math.min(y + 16, innerHeight - box.height - 4), 4) + "px";
}

for (const figure of document.querySelectorAll("figure")) {
  figure.addEventListener("pointermove", (event) => {
    const mark = event.target.closest(marks);
    if (mark) say(mark, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  figure.addEventListener("pointerleave", () => (tip.hidden = true));
  // one stop of the Tab key for a chart; the arrows lead from mark to mark
  const stops = [...figure.querySelectorAll(marks)];
  stops.forEach((mark, place) => {
    mark.setAttribute("tabindex", place ? "-1" : "0");
    mark.addEventListener("focus", () => {
      const box = mark.getBoundingClientRect();
      say(mark, box.right, box.bottom);
    });
    mark.addEventListener("blur", () => (tip.hidden = true));
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = stops[place + step];
      if (!next) return;
      event.preventDefault();
      mark.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
  });
}
