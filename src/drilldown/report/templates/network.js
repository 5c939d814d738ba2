"use strict";
// A trained network's forward pass, as PyTorch computes it in evaluation mode. Sums are in double precision, so the only
// difference is PyTorch's own rounding. BROWSER_LAYERS in run/embedded.py lists the layers that LAYERS below can run.
//
// A network, as embedded.py writes it:
//   { image: [channels, height, width], mean, std, classes, gap: number of a layer or null, weights: base64 of little-endian float32,
//     layers: [{ name, kind, text, input: shape, output: shape, tensors: { name: count, … }, …options }, …] }
// Tensors lie in `weights` one after another, in the order in which the layers name them. Shapes are
// [channels, height, width] or, once flat, [features]; values lie in that order, row by row.

/** The bytes of base64 text. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The same network, with every layer's tensors as Float32Arrays. */
function readNetwork(written) {
  const weights = new Float32Array(bytesOf(written.weights).buffer);
  let start = 0;
  const layers = written.layers.map((layer) => {
    const tensors = {};
    for (const [name, count] of Object.entries(layer.tensors)) {
      tensors[name] = weights.subarray(start, start + count);
      start += count;
    }
    return { ...layer, tensors };
  });
  return { ...written, layers };
}

/** Passes an image's bytes (0 background to 255 ink) through all layers: [{ layer, values }, …]; the last are the logits. */
function forward(network, pixels) {
  let values = Float64Array.from(pixels, (pixel) => (pixel / 255 - network.mean) / network.std);
  return network.layers.map((layer) => {
    values = LAYERS[layer.kind](values, layer);
    return { layer, values };
  });
}

/**
 * The class activation map of one class: a number for each position of the image before `gap`, whose mean is the logit.
 * The layers after `gap` see each position alone.
 */
function activationMap(network, results, number) {
  const { input: [channels, rows, columns] } = network.layers[network.gap];
  const features = results[network.gap - 1].values;
  const size = rows * columns;
  return Float64Array.from({ length: size }, (_, at) => {
    let values = Float64Array.from({ length: channels }, (_, c) => features[c * size + at]);
    for (const layer of network.layers.slice(network.gap + 1)) values = LAYERS[layer.kind](values, layer);
    return values[number];
  });
}

/** Stretches a map over an image, as a smooth surface through the centres of its cells. */
function stretch(values, rows, columns, height, width) {
  const around = (at, length, count) => {
    const place = Math.max(0, ((at + 0.5) * count) / length - 0.5);
    const first = Math.min(Math.floor(place), count - 1);
    return [first, Math.min(first + 1, count - 1), place - first];
  };
  return Float64Array.from({ length: height * width }, (_, at) => {
    const [top, bottom, down] = around(Math.floor(at / width), height, rows);
    const [left, right, across] = around(at % width, width, columns);
    const line = (row) => values[row * columns + left] * (1 - across) + values[row * columns + right] * across;
    return line(top) * (1 - down) + line(bottom) * down;
  });
}

/** Logits as probabilities. */
function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

const LAYERS = {
  conv(x, { input, output, kernel, stride, pad, groups, tensors }) {
    const [channels, height, width] = input;
    const [out, rows, columns] = output;
    const y = new Float64Array(out * rows * columns);
    let next = 0; // weights lie as [out, channels of the group, row, column], the order of these loops
    for (let o = 0; o < out; o++) {
      const map = y.subarray(o * rows * columns, (o + 1) * rows * columns);
      if (tensors.bias) map.fill(tensors.bias[o]);
      const first = Math.floor(o / (out / groups)) * (channels / groups);
      for (let i = first; i < first + channels / groups; i++) {
        for (let ky = 0; ky < kernel; ky++) {
          for (let kx = 0; kx < kernel; kx++) {
            const weight = tensors.weight[next++];
            // Only the columns whose input lies in the image: padding is zero and adds nothing.
            const from = Math.max(0, Math.ceil((pad - kx) / stride));
            const to = Math.min(columns, Math.ceil((width + pad - kx) / stride));
            for (let r = 0; r < rows; r++) {
              const row = r * stride + ky - pad;
              if (row < 0 || row >= height) continue;
              const at = (i * height + row) * width + kx - pad;
              for (let c = from; c < to; c++) map[r * columns + c] += weight * x[at + c * stride];
            }
          }
        }
      }
    }
    return y;
  },

  bn(x, { input, eps, tensors }) {
    const size = x.length / input[0];
    return x.map((value, at) => {
      const c = Math.floor(at / size);
      const scale = tensors.weight[c] / Math.sqrt(tensors.running_var[c] + eps);
      return (value - tensors.running_mean[c]) * scale + tensors.bias[c];
    });
  },

  relu: (x) => x.map((value) => Math.max(0, value)),

  maxpool: (x, layer) => pool(x, layer, -Infinity, Math.max, (most) => most),

  avgpool: (x, layer) => pool(x, layer, 0, (a, b) => a + b, (sum) => sum / layer.size ** 2),

  gap(x, { input: [channels, height, width] }) {
    const size = height * width;
    return Float64Array.from({ length: channels }, (_, c) => {
      return x.subarray(c * size, (c + 1) * size).reduce((a, b) => a + b) / size;
    });
  },

  dropout: (x) => x, // active in training only

  flatten: (x) => x, // the values have that order already

  linear(x, { output, tensors }) {
    return Float64Array.from({ length: output[0] }, (_, o) => {
      const row = tensors.weight.subarray(o * x.length, (o + 1) * x.length);
      return row.reduce((sum, weight, i) => sum + weight * x[i], tensors.bias[o]);
    });
  },
};

/** Folds every size×size window of each channel into one number; a remainder at the edge is left out. */
function pool(x, { input: [, height, width], output: [channels, rows, columns], size }, start, fold, finish) {
  const y = new Float64Array(channels * rows * columns);
  let next = 0;
  for (let c = 0; c < channels; c++) {
    for (let r = 0; r < rows; r++) {
      for (let q = 0; q < columns; q++) {
        let value = start;
        for (let dy = 0; dy < size; dy++) {
          for (let dx = 0; dx < size; dx++) {
            value = fold(value, x[(c * height + r * size + dy) * width + q * size + dx]);
          }
        }
        y[next++] = finish(value);
      }
    }
  }
  return y;
}
