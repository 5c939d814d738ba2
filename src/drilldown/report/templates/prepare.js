"use strict";
// Prepares a drawing as data/pictures.py prepares a picture: scales it to fit a box of 20×20 (of 28×28) pixels, keeps
// its proportions, and places it by its centre of mass. The resampling is Pillow's, so both give the same image.

const BOX = 20 / 28; // the box as a share of the image's side
const INK = 0.1; // share of the strongest ink below which a pixel is background

/** Ink (0…255, row by row) as an image of width × height: Uint8Array, or null where nothing is drawn. */
function centre(ink, inkWidth, inkHeight, width = 28, height = 28) {
  let [left, right, top, bottom] = [inkWidth, -1, inkHeight, -1];
  for (let row = 0; row < inkHeight; row++) {
    for (let column = 0; column < inkWidth; column++) {
      if (ink[row * inkWidth + column] <= INK * 255) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
    }
  }
  if (right < 0) return null;
  const cropped = { width: right - left + 1, height: bottom - top + 1 };
  cropped.values = new Float32Array(cropped.width * cropped.height);
  for (let row = 0; row < cropped.height; row++) {
    const start = (top + row) * inkWidth + left;
    cropped.values.set(ink.slice(start, start + cropped.width), row * cropped.width);
  }
  const scale = Math.min(halfEven(BOX * height) / cropped.height, halfEven(BOX * width) / cropped.width);
  const filter = scale < 1 ? FILTERS.box : FILTERS.bilinear;
  const wide = resample(cropped, Math.max(1, halfEven(cropped.width * scale)), filter);
  const small = transpose(resample(transpose(wide), Math.max(1, halfEven(cropped.height * scale)), filter));
  let [total, massRow, massColumn] = [0, 0, 0];
  small.values.forEach((value, at) => {
    const clipped = Math.min(255, Math.max(0, value));
    small.values[at] = clipped;
    total += clipped;
    massRow += clipped * Math.floor(at / small.width);
    massColumn += clipped * (at % small.width);
  });
  const y = startOf(massRow / total, small.height, height);
  const x = startOf(massColumn / total, small.width, width);
  const image = new Uint8Array(width * height);
  small.values.forEach((value, at) => {
    image[(y + Math.floor(at / small.width)) * width + x + (at % small.width)] = halfEven(value);
  });
  return image;
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
