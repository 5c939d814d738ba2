"use strict";
// The behaviour of a study's page, beside page.js: opens the pages of the runs, which are packed in this file, and
// hides or shows the lines of single steps.

const { pages } = JSON.parse(document.getElementById("data").textContent);

for (const text of document.querySelectorAll(".needs-script")) text.hidden = false;
for (const link of document.querySelectorAll("[data-page]")) {
  let unpacking;
  const ready = () => (unpacking ??= unpacked(pages[link.dataset.page]).then((address) => (link.href = address)));
  link.hidden = false;
  link.href = "#"; // the keyboard reaches only links with an address; the true one is made shortly before it is needed
  for (const kind of ["pointerenter", "focus", "pointerdown"]) link.addEventListener(kind, ready);
  link.addEventListener("click", async (event) => {
    if (link.href.startsWith("blob:")) return;
    event.preventDefault();
    await ready();
    link.click();
  });
}

for (const item of document.querySelectorAll("[data-series]")) {
  const button = document.createElement("button");
  button.append(...item.childNodes);
  button.ariaPressed = "true";
  button.addEventListener("click", () => show(item.dataset.series, button.ariaPressed === "false"));
  item.append(button);
}

/** Shows or hides a step in all charts. */
function show(style, shown) {
  for (const drawn of document.querySelectorAll(`.chart > svg .${style}`)) {
    (drawn.closest(".spread") ?? drawn).toggleAttribute("hidden", !shown);
  }
  for (const button of document.querySelectorAll(`[data-series="${style}"] > button`)) button.ariaPressed = `${shown}`;
}

/** The address of a page, from gzip in base64. */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "text/html; charset=utf-8" }));
}
