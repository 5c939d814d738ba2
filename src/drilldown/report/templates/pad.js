"use strict";
// The drawing pad: ink → input image of the network → probabilities and feature maps. Without paper, for networks that do
// not read grey images, the input is one of the examples.

const pad = startPad(JSON.parse(document.getElementById("data").textContent));

function startPad({ network: written, conventions, examples }) {
  const SIDE = 280; // of the pad, in its own pixels
  const PEN = 12; // radius: a digit that fills the pad becomes as thick as MNIST's digits
  const STEP = 8; // of the pen, for one press of an arrow key
  const SLOW = 60; // milliseconds; a slower network predicts when the hand rests, not while it moves
  const [FOR, AGAINST, INK, TINT] = [[213, 94, 0], [0, 114, 178], 0.65, 0.6]; // colours of a map, as in activation.py
  const WIDEST = 64; // the most maps of a layer, or cells of a line, that are shown

  const network = readNetwork(written);
  const [channels, height, width] = network.image;
  const isInk = channels < 3; // an image of one or two channels is shown as ink, see `visible_pixels` in pictures.py
  const find = (id) => document.getElementById(id);
  const paper = find("paper");
  const rows = [...find("probabilities").rows];

  // The ink is stored here: some browsers change the pixels that a script reads from a canvas, against tracking.
  const ink = new Float32Array(SIDE * SIDE);
  const pen = { x: SIDE / 2, y: SIDE / 2, down: false, shown: false };
  const state = { ink, image: new Uint8Array(channels * width * height), logits: null, milliseconds: 0 };
  let isExample = false; // the pad shows an example; the first stroke replaces it
  let [frame, resting, due] = [0, 0, false]; // pending frame and timer, and whether the frame includes a prediction

  // Drawing.

  /** Inks all pixels within the pen's radius of a line, with a soft edge of one pixel. */
  function stroke(from, to) {
    if (isExample) clear();
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy || 1;
    const bound = (value) => Math.min(SIDE, Math.max(0, Math.round(value)));
    const top = bound(Math.min(from.y, to.y) - PEN - 1);
    const bottom = bound(Math.max(from.y, to.y) + PEN + 2);
    const left = bound(Math.min(from.x, to.x) - PEN - 1);
    const right = bound(Math.max(from.x, to.x) + PEN + 2);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const along = Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / length));
        const distance = Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
        const amount = 255 * Math.min(1, Math.max(0, PEN + 0.5 - distance));
        if (amount > ink[y * SIDE + x]) ink[y * SIDE + x] = amount;
      }
    }
    clearTimeout(resting);
    if (state.milliseconds >= SLOW) resting = setTimeout(soon, 2 * SLOW, true);
    soon(state.milliseconds < SLOW);
  }

  function clear() {
    ink.fill(0);
    isExample = false;
    for (const button of find("examples").querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
    soon(true);
  }

  const position = (event) => {
    const box = paper.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  };
  let last = null;
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (paper) listen();

  function listen() {
    paper.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      paper.setPointerCapture(event.pointerId);
      pen.shown = pen.down = false;
      last = position(event);
      stroke(last, last);
    });
    paper.addEventListener("pointermove", (event) => {
      if (!last) return;
      const between = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const moved of between.length ? between : [event]) {
        const now = position(moved);
        stroke(last, now);
        last = now;
      }
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      paper.addEventListener(end, () => {
        if (!last) return;
        last = null;
        announceSoon();
      });
    }

    paper.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const before = { x: pen.x, y: pen.y };
      if (MOVES[event.key]) {
        const [dx, dy] = MOVES[event.key];
        pen.x = Math.min(SIDE, Math.max(0, pen.x + dx * STEP));
        pen.y = Math.min(SIDE, Math.max(0, pen.y + dy * STEP));
        if (pen.down) announceSoon();
      } else if (event.key === " ") {
        pen.down = !pen.down;
        find("status").textContent = pen.down ? "Pen down" : "Pen up";
      } else if (event.key === "Delete" || event.key === "Backspace") {
        pen.down = false;
        clear();
        find("status").textContent = "Cleared";
      } else {
        return;
      }
      event.preventDefault();
      pen.shown = true;
      if (pen.down) stroke(before, pen);
      else soon(false);
    });
    paper.addEventListener("blur", () => {
      pen.shown = pen.down = false;
      soon(false);
    });
    find("clear").addEventListener("click", clear);
  }

  // Predicting.

  /** Paints the pad in the next frame, and predicts its digit where `predicting` is true. */
  function soon(predicting) {
    due ||= predicting;
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (paper) paintPaper();
      // An example is an image already; it was classified when it was chosen.
      if (due && !isExample) show(prepare(ink, SIDE, SIDE, width, height, conventions));
      due = false;
    });
  }

  /** Classifies an image; null is a blank pad. Where there is a problem, it is shown and not the prediction. */
  function show({ image, problem }) {
    const start = performance.now();
    const background = conventions.polarity === "dark-on-light" ? 255 : 0;
    state.image = image ?? new Uint8Array(width * height).fill(background);
    paintImage(find("input"), state.image);
    const results = forward(network, state.image);
    state.logits = results.at(-1).values;
    const probabilities = softmax(state.logits);
    const best = probabilities.indexOf(Math.max(...probabilities));
    rows.forEach((row, number) => {
      const share = problem ? 0 : 100 * probabilities[number];
      row.classList.toggle("best", !problem && number === best);
      row.querySelector("rect").setAttribute("width", share.toFixed(1));
      row.cells[2].textContent = problem ? "–" : `${share.toFixed(1)} %`;
    });
    find("prediction").textContent = problem ? "–" : find("probabilities").rows[best].cells[0].textContent;
    find("confidence").textContent = problem ?? `${(100 * probabilities[best]).toFixed(1)} %`;
    results.forEach(({ values }, number) => maps[number].paint(values));
    if (network.gap !== null) showEvidence(results, best, image !== null);
    state.milliseconds = (state.milliseconds + performance.now() - start) / 2; // the first prediction is slow in every browser
  }

  let announcing = 0;
  /** Announces the prediction to screen readers when the hand rests. */
  function announceSoon() {
    clearTimeout(announcing);
    announcing = setTimeout(() => {
      const [prediction, confidence] = [find("prediction"), find("confidence")].map((part) => part.textContent);
      find("status").textContent = `Prediction: ${prediction}, ${confidence}`;
    }, 400);
  }

  // Painting. Ink is black with some opacity on the white of the canvas; page.css inverts both in dark mode.

  function paint(canvas, values, columns, lines, least, most) {
    if (canvas.width !== columns || canvas.height !== lines) Object.assign(canvas, { width: columns, height: lines });
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, lines);
    const scale = most > least ? 255 / (most - least) : 0;
    for (let at = 0; at < values.length; at++) image.data[4 * at + 3] = (values[at] - least) * scale;
    context.putImageData(image, 0, 0);
  }

  /** Paints an image of the network: the ink of its first channel, or its first three channels as colours. */
  function paintImage(canvas, pixels) {
    const area = width * height;
    if (isInk) {
      paint(canvas, pixels.subarray(0, area), width, height, 0, 255);
      return;
    }
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    for (let at = 0; at < area; at++) picture.data.set([0, 1, 2].map((c) => pixels[c * area + at]).concat(255), 4 * at);
    context.putImageData(picture, 0, 0);
  }

  /** The brightness of a pixel of the input, 0…255. */
  function lightOf(at) {
    const area = width * height;
    const [red, green, blue] = [0, 1, 2].map((c) => state.image[c * area + at]);
    return isInk ? 255 - red : (red + green + blue) / 3;
  }

  /** Shows the class activation map of a class over the input; only the input for a blank pad. */
  function showEvidence(results, number, drawn) {
    const { input: [, lines, columns] } = network.layers[network.gap];
    const values = activationMap(network, results, number);
    state.evidence = values;
    const most = drawn ? Math.max(...values.map(Math.abs), 1e-12) : Infinity;
    const canvas = find("evidence");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height);
    stretch(values, lines, columns, height, width).forEach((value, at) => {
      const alpha = (TINT * Math.abs(value)) / most;
      const grey = 255 * (1 - INK) + INK * lightOf(at);
      const tint = value > 0 ? FOR : AGAINST;
      picture.data.set([...tint.map((part) => (1 - alpha) * grey + alpha * part), 255], 4 * at);
    });
    context.putImageData(picture, 0, 0);
    find("evidence-class").textContent = drawn ? number : "–";
  }

  function paintPaper() {
    paint(paper, ink, SIDE, SIDE, 0, 255);
    if (!pen.shown) return;
    const context = paper.getContext("2d");
    context.lineWidth = 2;
    for (const [colour, radius] of [["#fff", PEN + 2], ["#000", PEN]]) {
      context.strokeStyle = colour;
      context.setLineDash(pen.down ? [] : [4, 4]);
      context.beginPath();
      context.arc(pen.x, pen.y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** Shows the pixels of a test image, which needs no preparation. */
  function showExample({ pixels }, button) {
    clear();
    const image = bytesOf(pixels);
    for (let y = 0; paper && y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        ink[y * SIDE + x] = image[Math.floor((y * height) / SIDE) * width + Math.floor((x * width) / SIDE)];
      }
    }
    isExample = true;
    button.setAttribute("aria-pressed", "true");
    show({ image, problem: null });
  }

  const buttons = examples.map((example) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    const { index, truth, misclassified } = example;
    button.type = "button";
    button.title = `Test image ${index}, class ${truth}${misclassified ? ", misclassified" : ""}`;
    button.setAttribute("aria-label", button.title);
    button.setAttribute("aria-pressed", "false");
    canvas.className = isInk ? "ink pixels" : "pixels";
    paintImage(canvas, bytesOf(example.pixels));
    button.append(canvas);
    if (misclassified) button.append(Object.assign(document.createElement("span"), { textContent: "hard" }));
    button.addEventListener("click", () => {
      showExample(example, button);
      announceSoon();
    });
    return button;
  });

  // Feature maps: one row per layer. A block is a layer with the layers that only adjust its output.

  let block = [];
  const maps = network.layers.map((layer, number) => {
    const next = network.layers[number + 1];
    block = layer.adjusts ? [...block, layer] : [layer];
    const isEnd = layer.kind !== "flatten" && !next?.adjusts;
    return mapsOf(layer, isEnd ? block : null);
  });

  function mapsOf(layer, block) {
    const [channels, lines = 1, columns = 1] = layer.output;
    const isFlat = lines * columns === 1;
    const shown = Math.min(channels, isFlat ? WIDEST * WIDEST : WIDEST);
    const size = isFlat ? `${channels} numbers` : `${channels} maps of ${columns}×${lines}`;
    const row = document.createElement("div");
    const label = document.createElement("p");
    const [name, text, range] = ["b", "span", "span"].map((tag) => document.createElement(tag));
    const pictures = document.createElement("div");
    const canvases = Array.from({ length: isFlat ? 1 : shown }, () => document.createElement("canvas"));
    row.className = "layer";
    row.hidden = !block;
    text.textContent = size + (shown < channels ? `, the first ${shown} shown` : "");
    label.append(name, text, range);
    pictures.className = isFlat ? "maps flat" : "maps";
    pictures.setAttribute("role", "img");
    for (const canvas of canvases) canvas.className = "ink pixels";
    pictures.append(...canvases);
    row.append(label, pictures);
    find("layers").append(row);

    const describe = () => {
      pictures.setAttribute("aria-label", `${name.textContent}: ${size}, values from ${range.textContent}`);
    };

    return {
      /** Shows the row of every layer, or only of the last layer of each block. */
      reveal(every) {
        row.hidden = !every && !block;
        name.textContent = every ? `${layer.name}: ${layer.text}` : (block ?? []).map((layer) => layer.text).join(", ");
        describe();
      },
      paint(values) {
        let [least, most] = [Infinity, -Infinity];
        for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
        range.textContent = `${numberText(least)} to ${numberText(most)}`;
        describe();
        if (isFlat) {
          paint(canvases[0], values.subarray(0, shown), Math.min(shown, WIDEST), Math.ceil(shown / WIDEST), least, most);
          return;
        }
        const area = lines * columns;
        canvases.forEach((canvas, c) => {
          paint(canvas, values.subarray(c * area, (c + 1) * area), columns, lines, least, most);
        });
      },
    };
  }

  const numberText = (value) => (Math.abs(value) < 0.005 ? "0" : value.toPrecision(3).replace("-", "−"));
  const every = find("every-layer");
  const reveal = () => maps.forEach((row) => row.reveal(every.checked));
  every.addEventListener("change", reveal);

  // The pad starts with an example, so that it is not empty.

  reveal();
  find("examples").append(...buttons);
  for (const id of ["pad", "examples", "maps"]) find(id).hidden = false;
  if (examples.length) showExample(examples[0], buttons[0]);
  else if (paper) clear();
  return state;
}
