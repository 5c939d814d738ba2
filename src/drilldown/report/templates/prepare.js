"use strict";
// Prepares a drawing as data/preparation.py prepares the ink of a picture: by the conventions of the dataset. The
// resampling is Pillow's, so both give the same image.

const INK = 0.1; // share of full ink below which a pixel is background
const SLACK = 0.03; // how far an object may lie beyond the sizes and distances of the dataset's own
const WIDER = 1.4; // an object that is this much wider than the widest of the dataset is not one object
const STROKE = 0.4; // share of full ink above which a pixel belongs to a part
const APART = 0.15; // parts that are nearer than this share of the largest part's side belong to one object
const LARGE = 0.45; // a part below this share of the largest one is a dot or a spot, and no object
const COUNTED_SIDE = 140; // parts are counted in a drawing that is reduced to at most this side

/**
 * Ink (0…255, row by row) as an image of width × height: { image: Uint8Array, problem: null }.
 * The image is null where nothing is drawn; then, and where several objects are drawn, the problem is a text.
 */
function prepare(ink, inkWidth, inkHeight, width, height, conventions) {
  const drawing = { width: inkWidth, height: inkHeight, values: ink };
  const layout = layoutOf(drawing);
  if (!layout) return { image: null, problem: "nothing drawn yet" };
  let [image, problem] = [fitWhole(drawing, width, height), null];
  if (conventions.framing === "box") {
    if (conventions.single && countObjects(drawing) > 1) problem = "several objects: draw only one";
    else if (conventions.single && layout.aspect > WIDER * conventions.widest) problem = "wider than one object";
    const lies = layoutOf({ width, height, values: image });
    if (!lies || !admits(conventions, lies)) image = centre(drawing, layout, width, height, conventions);
  }
  if (conventions.polarity === "dark-on-light") image = image.map((value) => 255 - value);
  return { image, problem };
}

/** How an object lies in an image, as shares of the image's sides; null where there is no ink. */
function layoutOf({ width, height, values }) {
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (values[row * width + column] <= INK * 255) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
    }
  }
  if (right < 0) return null;
  const [wide, tall] = [right - left + 1, bottom - top + 1];
  const [massRow, massColumn] = centreOfMass({ width, values });
  return {
    left, top, wide, tall,
    size: Math.max(tall / height, wide / width),
    aspect: wide / tall,
    mass: [(massRow - (height - 1) / 2) / height, (massColumn - (width - 1) / 2) / width],
    middle: [((top + bottom) / 2 - (height - 1) / 2) / height, ((left + right) / 2 - (width - 1) / 2) / width],
  };
}

function centreOfMass({ width, values }) {
  let [total, row, column] = [0, 0, 0];
  values.forEach((value, at) => {
    total += value;
    row += value * Math.floor(at / width);
    column += value * (at % width);
  });
  return [row / total, column / total];
}

/** Whether an object lies in its image as those of the dataset do. */
function admits({ sizes, centre, offset }, layout) {
  const away = Math.max(...layout[centre].map(Math.abs));
  return sizes[0] - SLACK <= layout.size && layout.size <= sizes[1] + SLACK && away <= offset + SLACK;
}

/** The number of objects in a drawing: groups of parts that are far from each other and of similar size. */
function countObjects({ width, height, values }) {
  const step = Math.ceil(Math.max(width, height) / COUNTED_SIDE);
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const open = new Uint8Array(columns * rows);
  values.forEach((value, at) => {
    if (value <= STROKE * 255) return;
    open[Math.floor(Math.floor(at / width) / step) * columns + Math.floor((at % width) / step)] = 1;
  });
  const boxes = [];
  for (let start = 0; start < open.length; start++) {
    if (open[start]) boxes.push(partBox(open, start, columns, rows));
  }
  const distance = APART * Math.max(0, ...boxes.map(longestSide));
  let groups = [];
  for (let joined of boxes) {
    for (let near; (near = groups.filter((group) => gap(group, joined) < distance)).length; ) {
      groups = groups.filter((group) => !near.includes(group));
      for (const box of near) joined = around(joined, box);
    }
    groups.push(joined);
  }
  const sides = groups.map(longestSide);
  return sides.filter((side) => side >= LARGE * Math.max(...sides)).length;
}

/** The rectangle [top, left, bottom, right] around the part that holds a pixel; the part is removed from `open`. */
function partBox(open, start, columns, rows) {
  let box = [rows, columns, 0, 0];
  const waiting = [start];
  open[start] = 0;
  while (waiting.length) {
    const at = waiting.pop();
    const [row, column] = [Math.floor(at / columns), at % columns];
    box = around(box, [row, column, row + 1, column + 1]);
    for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
        if (!open[y * columns + x]) continue;
        open[y * columns + x] = 0;
        waiting.push(y * columns + x);
      }
    }
  }
  return box;
}

const around = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
const longestSide = ([top, left, bottom, right]) => Math.max(bottom - top, right - left);

/** The gap between two rectangles, down or to the side; negative where they overlap. */
const gap = (a, b) => Math.max(...[0, 1].map((at) => Math.max(a[at], b[at]) - Math.min(a[at + 2], b[at + 2])));

/** An object scaled to the dataset's box, with its centre in the centre of the image. */
function centre(drawing, { left, top, wide, tall }, width, height, conventions) {
  const cropped = { width: wide, height: tall, values: new Float32Array(wide * tall) };
  for (let row = 0; row < tall; row++) {
    const start = (top + row) * drawing.width + left;
    cropped.values.set(drawing.values.slice(start, start + wide), row * wide);
  }
  const { box } = conventions;
  const small = resize(cropped, Math.min(halfEven(box * height) / tall, halfEven(box * width) / wide));
  const mass = conventions.centre === "mass";
  const [row, column] = mass ? centreOfMass(small) : [(small.height - 1) / 2, (small.width - 1) / 2];
  return place(small, startOf(column, small.width, width), startOf(row, small.height, height), width, height);
}

/** A whole drawing in the size of the image; where their proportions differ, two sides stay empty. */
function fitWhole(drawing, width, height) {
  const small = resize(drawing, Math.min(height / drawing.height, width / drawing.width));
  return place(small, Math.floor((width - small.width) / 2), Math.floor((height - small.height) / 2), width, height);
}

function place(small, x, y, width, height) {
  const image = new Uint8Array(width * height);
  small.values.forEach((value, at) => {
    image[(y + Math.floor(at / small.width)) * width + x + (at % small.width)] = halfEven(value);
  });
  return image;
}

function resize(drawing, scale) {
  const filter = scale < 1 ? FILTERS.box : FILTERS.bilinear;
  const wide = resample(drawing, Math.max(1, halfEven(drawing.width * scale)), filter);
  const small = transpose(resample(transpose(wide), Math.max(1, halfEven(drawing.height * scale)), filter));
  return { ...small, values: small.values.map((value) => Math.min(255, Math.max(0, value))) };
}

/** The start of a range of `size` within `side`: its centre of mass lies in the middle, and it stays inside. */
function startOf(mass, size, side) {
  const middle = Math.round(((side - 1) / 2 - mass) * 1e4) / 1e4; // ties round as in data/pictures.py
  return Math.min(Math.max(0, halfEven(middle)), side - size);
}

/** Rounds as Python does: halves to the even neighbour. */
function halfEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

const FILTERS = {
  box: { reach: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { reach: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
};

/** An image { width, height, values } with its rows resampled to another width. */
function resample({ width, height, values }, newWidth, filter) {
  if (newWidth === width) return { width, height, values };
  const step = width / newWidth;
  const stretch = Math.max(1, step);
  const result = new Float32Array(newWidth * height);
  for (let column = 0; column < newWidth; column++) {
    const middle = (column + 0.5) * step;
    const from = Math.max(0, Math.trunc(middle - filter.reach * stretch + 0.5));
    const to = Math.min(width, Math.trunc(middle + filter.reach * stretch + 0.5));
    const shares = [];
    for (let x = from; x < to; x++) shares.push(filter.at((x - middle + 0.5) / stretch));
    const whole = shares.reduce((a, b) => a + b, 0);
    for (let row = 0; row < height; row++) {
      let sum = 0;
      shares.forEach((share, x) => (sum += (share / whole) * values[row * width + from + x]));
      result[row * newWidth + column] = sum;
    }
  }
  return { width: newWidth, height, values: result };
}

function transpose({ width, height, values }) {
  const turned = new Float32Array(values.length);
  values.forEach((value, at) => (turned[(at % width) * height + Math.floor(at / width)] = value));
  return { width: height, height: width, values: turned };
}
