"use strict";
// A trained network's forward pass, as PyTorch computes it in evaluation mode. Sums are in double precision, so the only
// difference is PyTorch's own rounding. BROWSER_LAYERS in run/embedded.py lists the layers that LAYERS below can run.
//
// A network, as embedded.py writes it:
//   { image: [channels, height, width], mean, std, classes, gap: number of a layer or null,
//     weights: base64 of little-endian float32,
//     layers: [{ name, kind, text, input: shape, output: shape, sources, shared, adjusts, tensors: { name: count, … },
//                …options }, …] }
// Tensors lie in `weights` one after another, in the order in which the layers name them; a shared layer has those of the
// earlier layer with its name. `sources` are the numbers of the layers whose values it takes, −1 for the image: two for a
// sum, one for any other. `adjusts`: it only changes its input's values. Shapes are [channels, height, width] or, once
// flat, [features]; values lie in that order, row by row. `mean` and `std` have a number for each channel.

/** The bytes of base64 text. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** The same network, with every layer's tensors as Float32Arrays. */
function readNetwork(written) {
  const weights = new Float32Array(bytesOf(written.weights).buffer);
  const byName = {};
  let start = 0;
  const layers = written.layers.map((layer) => {
    const tensors = layer.shared ? byName[layer.name] : (byName[layer.name] = {});
    for (const [name, count] of Object.entries(layer.tensors)) {
      tensors[name] = weights.subarray(start, start + count);
      start += count;
    }
    return { ...layer, tensors };
  });
  return { ...written, layers };
}

/** Passes an image's bytes, channel by channel, through all layers: [{ layer, values }, …]; the last are the logits. */
function forward(network, pixels) {
  const plane = pixels.length / network.image[0];
  const image = Float64Array.from(pixels, (pixel, index) => {
    const channel = Math.floor(index / plane);
    return (pixel / 255 - network.mean[channel]) / network.std[channel];
  });
  const steps = [];
  for (const layer of network.layers) {
    const [values, other] = layer.sources.map((source) => (source < 0 ? image : steps[source].values));
    steps.push({ layer, values: LAYERS[layer.kind](values, layer, other) });
  }
  return steps;
}

/**
 * The class activation map of one class: a number for each position of the image before `gap`, whose mean is the logit.
 * The layers after `gap` see each position alone.
 */
function activationMap(network, results, number) {
  const { input: [channels, rows, columns] } = network.layers[network.gap];
  const features = results[network.layers[network.gap].sources[0]].values;
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
  conv(x, { input, output, kernel, stride, pad, dilation, groups, tensors }) {
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
            const dx = kx * dilation - pad;
            const from = Math.max(0, Math.ceil(-dx / stride));
            const to = Math.min(columns, Math.ceil((width - dx) / stride));
            for (let r = 0; r < rows; r++) {
              const row = r * stride + ky * dilation - pad;
              if (row < 0 || row >= height) continue;
              const at = (i * height + row) * width + dx;
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
      const scale = (tensors.weight ? tensors.weight[c] : 1) / Math.sqrt(tensors.running_var[c] + eps);
      return (value - tensors.running_mean[c]) * scale + tensors.bias[c];
    });
  },

  gn(x, { input, groups, eps, tensors }) {
    const y = new Float64Array(x.length);
    const size = x.length / input[0]; // of a channel
    const length = x.length / groups;
    for (let start = 0; start < x.length; start += length) {
      const group = x.subarray(start, start + length);
      const mean = group.reduce((a, b) => a + b) / length;
      const variance = group.reduce((sum, value) => sum + (value - mean) ** 2, 0) / length;
      for (let at = start; at < start + length; at++) {
        const c = Math.floor(at / size);
        y[at] = ((x[at] - mean) / Math.sqrt(variance + eps)) * tensors.weight[c] + tensors.bias[c];
      }
    }
    return y;
  },

  ln: (x, layer) => LAYERS.gn(x, { ...layer, groups: 1 }),

  relu: (x) => x.map((value) => Math.max(0, value)),

  leaky: (x, { slope }) => x.map((value) => (value > 0 ? value : slope * value)),

  prelu: (x, { tensors }) => x.map((value) => (value > 0 ? value : tensors.weight[0] * value)),

  silu: (x) => x.map((value) => value * sigmoid(value)),

  gelu: (x) => x.map((value) => (value / 2) * (1 + erf(value / Math.SQRT2))),

  hardswish: (x) => x.map((value) => (value * Math.min(Math.max(value + 3, 0), 6)) / 6),

  se(x, { input: [channels, height, width], tensors }) {
    const size = height * width;
    const means = LAYERS.gap(x, { input: [channels, height, width] });
    const hidden = dense(means, tensors["squeeze.weight"], tensors["squeeze.bias"]).map((value) => Math.max(0, value));
    const scales = dense(hidden, tensors["excite.weight"], tensors["excite.bias"]).map(sigmoid);
    return x.map((value, at) => value * scales[Math.floor(at / size)]);
  },

  add: (x, _, other) => x.map((value, at) => value + other[at]),

  maxpool: (x, layer) => pool(x, layer, -Infinity, Math.max, (most) => most),

  avgpool: (x, layer) => pool(x, layer, 0, (a, b) => a + b, (sum) => sum / layer.size ** 2),

  blurpool(x, { input: [, height, width], output: [channels, rows, columns], size, stride }) {
    const weights = binomials(size);
    const half = (size - 1) / 2;
    const y = new Float64Array(channels * rows * columns);
    let next = 0;
    for (let c = 0; c < channels; c++) {
      for (let r = 0; r < rows; r++) {
        for (let q = 0; q < columns; q++) {
          let sum = 0;
          for (let dy = 0; dy < size; dy++) {
            const row = mirrored(r * stride + dy - half, height);
            for (let dx = 0; dx < size; dx++) {
              const column = mirrored(q * stride + dx - half, width);
              sum += weights[dy] * weights[dx] * x[(c * height + row) * width + column];
            }
          }
          y[next++] = sum;
        }
      }
    }
    return y;
  },

  gap(x, { input: [channels, height, width] }) {
    const size = height * width;
    return Float64Array.from({ length: channels }, (_, c) => {
      return x.subarray(c * size, (c + 1) * size).reduce((a, b) => a + b) / size;
    });
  },

  dropout: (x) => x, // active in training only

  dropout2d: (x) => x,

  flatten: (x) => x, // the values have that order already

  linear: (x, { tensors }) => dense(x, tensors.weight, tensors.bias),
};

/** The outputs of a linear layer. */
function dense(x, weights, biases) {
  return Float64Array.from(biases, (bias, o) => {
    const row = weights.subarray(o * x.length, (o + 1) * x.length);
    return row.reduce((sum, weight, i) => sum + weight * x[i], bias);
  });
}

function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/** The error function, by a series whose terms are all positive: 2/√π · e^(−x²) · Σ 2ⁿ·x^(2n+1) / (1·3·…·(2n+1)). */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The weights of a blur of this size along one side. */
function binomials(size) {
  let weights = [1];
  while (weights.length < size) weights = [...weights, 0].map((w, i) => (w + (weights[i - 1] ?? 0)) / 2);
  return weights;
}

/** The pixel of a line of `count` pixels that a position outside of it mirrors; the pixel at the edge is not repeated. */
function mirrored(position, count) {
  const folded = Math.abs(position);
  return folded < count ? folded : 2 * (count - 1) - folded;
}

/** Folds every size×size window of each channel into one number; pixels outside of the image count as `start`. */
function pool(x, { input: [, height, width], output: [channels, rows, columns], size, stride, pad }, start, fold, finish) {
  const y = new Float64Array(channels * rows * columns);
  let next = 0;
  for (let c = 0; c < channels; c++) {
    for (let r = 0; r < rows; r++) {
      for (let q = 0; q < columns; q++) {
        let value = start;
        for (let dy = 0; dy < size; dy++) {
          const row = r * stride + dy - pad;
          if (row < 0 || row >= height) continue;
          for (let dx = 0; dx < size; dx++) {
            const column = q * stride + dx - pad;
            if (column < 0 || column >= width) continue;
            value = fold(value, x[(c * height + row) * width + column]);
          }
        }
        y[next++] = finish(value);
      }
    }
  }
  return y;
}
