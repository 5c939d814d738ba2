// A function that learns, and dropout of whole channels. Each is a pass over memory of its own, because networks use
// them seldom: pointwise.hpp has those that are joined.
#pragma once

#include <cstdint>
#include <vector>

#include "functions.hpp"
#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "noise.hpp"

namespace drilldown {

// A leaky relu that learns its slope, one for all channels.
class PRelu : public SameShape {
 public:
  explicit PRelu(const Layout& shape) : SameShape(shape) { parameters = 1; }

  void allocate(int tiles, int) override { partial.resize(tiles); }

  void prepare(const float* weights, const float*) override { function.slope = weights[0]; }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    for (int c = 0; c < in.channels; ++c)
      walk(c, in, out, [&](long i, long o) { store(to + o, function.value(load(from + i))); });
  }

  void backward(const Pass&, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    double sum = 0;
    for (int c = 0; c < in.channels; ++c) {
      V channel{};
      walk(c, in, in_gradient, [&](long i, long o) {
        const V value = load(from + i), gradient = load(gradients + i);
        channel += value > 0.0f ? V{} : value * gradient;
        if (input_gradients) store(input_gradients + o, function.undo(gradient, value));
      });
      sum += add_lanes(channel);
    }
    partial[tile.index] = sum;
  }

  void collect(int tiles, float* gradients) override {
    double sum = 0;
    for (int t = 0; t < tiles; ++t) sum += partial[t];
    gradients[0] = float(sum);
  }

 private:
  Leaky function{0};
  std::vector<double> partial;  // [tile]
};

// Dropout of whole channels.
class ChannelDropout : public SameShape {
 public:
  // `number` is the place of the layer in the list of layers, a key of its random numbers.
  ChannelDropout(const Layout& shape, double probability, int number)
      : SameShape(shape), number(number), scale_up(dropout_scale(probability)), threshold(drop_threshold(probability)) {
  }

  void forward(const Pass& pass, const Tile& tile, const float* from, float* to) override {
    Noise noise(pass.noise, number, tile.position);
    for (int c = 0; c < in.channels; ++c) {
      const V factor = pass.training ? draw(noise) : splat(1.0f);
      walk(c, in, out, [&](long i, long o) { store(to + o, load(from + i) * factor); });
    }
  }

  void backward(const Pass& pass, const Tile& tile, const float*, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    Noise noise(pass.noise, number, tile.position);
    for (int c = 0; c < in.channels; ++c) {
      const V factor = draw(noise);
      walk(c, in, in_gradient, [&](long i, long o) { store(input_gradients + o, load(gradients + i) * factor); });
    }
  }

 private:
  V draw(Noise& noise) const { return noise.next() >= threshold ? splat(scale_up) : V{}; }

  int number;
  float scale_up;
  uint32_t threshold;
};

}  // namespace drilldown
