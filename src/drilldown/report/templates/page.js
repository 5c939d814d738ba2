"use strict";
// The behaviour of every page: buttons copy, charts show the values of an epoch, a gallery is sorted and filtered.
// Controls are hidden until a script shows them; without scripts, the page shows all its content.

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.innerHTML;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const done = await copyText(source.textContent).catch(() => false);
    if (!done) getSelection().selectAllChildren(source); // now the reader can press Ctrl-C
    button.textContent = done ? "Copied" : "Selected";
    button.setAttribute("aria-live", "polite");
    setTimeout(() => (button.innerHTML = label), 2000);
  });
}

async function copyText(text) {
  if (!navigator.clipboard) return false;
  await navigator.clipboard.writeText(text);
  return true;
}

unfoldOnPaper();
startCharts(document.getElementById("epoch"));
startGallery([...document.querySelectorAll(".gallery")]);

/** Opens everything that is folded while the page is printed: paper cannot be clicked. */
function unfoldOnPaper() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => opened.forEach((fold) => (fold.open = false)));
}

/** Shows the values of an epoch in the key of every chart and in the list beside the slider. */
function startCharts(slider) {
  if (!slider) return;
  const charts = [...document.querySelectorAll(".chart > svg[data-left]")];
  const rows = document.querySelectorAll("#epochs tbody tr");
  const heads = [...document.querySelectorAll("#epochs thead th")].map((head) => head.textContent);
  slider.hidden = false;

  function show(number) {
    slider.value = number;
    document.getElementById("epoch-shown").textContent = number;
    const cells = rows[number - 1].cells;
    const figures = [...document.querySelectorAll("#epoch-figures > div")].map((pair) => {
      const [term, figure] = pair.children;
      const column = heads.indexOf(term.textContent.replace("accuracy", "%"));
      figure.textContent = cells[column].textContent + (heads[column].endsWith("%") ? " %" : "");
      return `${term.textContent} ${figure.textContent}`;
    });
    const all = figures.length ? figures : heads.slice(1).map((head, i) => `${head} ${cells[i + 1].textContent}`);
    slider.setAttribute("aria-valuetext", `epoch ${number}: ${all.join(", ")}`);
    for (const values of document.querySelectorAll("[data-values]")) {
      values.textContent = values.dataset.values.split("|")[number - 1];
    }
    for (const chart of charts) {
      const { left, right } = chart.dataset;
      const x = +left + ((number - 0.5) / slider.max) * (right - left);
      const cursor = chart.querySelector(".cursor");
      cursor.removeAttribute("hidden");
      cursor.setAttribute("transform", `translate(${x.toFixed(1)} 0)`);
    }
  }

  function hide() {
    for (const chart of charts) chart.querySelector(".cursor").setAttribute("hidden", "");
  }

  slider.addEventListener("input", () => show(slider.value));
  slider.addEventListener("focus", () => show(slider.value));
  slider.addEventListener("blur", hide);
  for (const chart of charts) {
    for (const kind of ["pointermove", "pointerdown"]) {
      chart.addEventListener(kind, (event) => {
        const box = chart.getBoundingClientRect();
        const x = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
        const share = (x - chart.dataset.left) / (chart.dataset.right - chart.dataset.left);
        show(Math.min(slider.max, Math.max(1, Math.ceil(share * slider.max))));
      });
    }
    chart.addEventListener("pointerleave", () => document.activeElement === slider || hide());
  }
}

/** Sorts and filters a gallery by the data attributes of its items; what does not fit into its first list is folded. */
function startGallery([first, folded]) {
  if (!first) return;
  const fits = first.children.length;
  const items = [...first.children, ...(folded?.children ?? [])];
  const fold = folded?.closest("details");
  const [sort, truth, predicted] = ["sort", "truth", "predicted"].map((id) => document.getElementById(id));
  const all = items.length;
  const orders = {
    highest: (a, b) => b.confidence - a.confidence,
    lowest: (a, b) => a.confidence - b.confidence,
    index: (a, b) => a.index - b.index,
    truth: (a, b) => a.truth - b.truth || a.predicted - b.predicted || b.confidence - a.confidence,
  };

  function update() {
    items.sort((a, b) => orders[sort.value](a.dataset, b.dataset));
    for (const item of items) {
      const differs = (select, value) => select.value !== "" && select.value !== value;
      item.hidden = differs(truth, item.dataset.truth) || differs(predicted, item.dataset.predicted);
    }
    const visible = items.filter((item) => !item.hidden);
    const shown = visible.length;
    first.append(...visible.slice(0, fits), ...items.filter((item) => item.hidden));
    if (fold) {
      const rest = visible.slice(fits);
      folded.append(...rest);
      fold.hidden = !rest.length;
      fold.querySelector("summary").textContent = `The other ${rest.length} image${rest.length === 1 ? "" : "s"}`;
    }
    document.getElementById("shown").textContent = shown ? `${shown} of ${all}` : `none of ${all}`;
  }

  // A click on a cell of the confusion matrix sets both filters.
  document.querySelector(".confusion")?.addEventListener("click", (event) => {
    const cell = event.target.closest("td:not(:empty, .correct)");
    if (!cell) return;
    truth.value = cell.parentNode.rowIndex - 1;
    predicted.value = cell.cellIndex - 1;
    update();
    form.scrollIntoView({ block: "start" });
  });

  const form = document.getElementById("filters");
  form.hidden = false;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update(); // a browser may restore earlier choices
}
