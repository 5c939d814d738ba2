// What changes numbers one by one: relu, dropout, and batch norm with a function behind it.
//
// They cost memory traffic, not arithmetic. So a row of them is one layer with one pass: relu before the norm, the
// norm, a function after it, dropout. Each may be missing. Template arguments choose, so the loops contain no tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "functions.hpp"
#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "noise.hpp"
#include "norm.hpp"

namespace drilldown {

// Dropout in a pass over a tile, if there is any. `number` is its place in the list of layers, a key of its random
// numbers.
template <bool DROPOUT>
struct Dropout {
  int number;
  float scale_up;
  uint32_t threshold;

  Dropout(double probability, int number)
      : number(number), scale_up(dropout_scale(probability)), threshold(drop_threshold(probability)) {}

  Noise noise(const Pass& pass, const Tile& tile) const { return Noise(pass.noise, number, tile.position); }
  V operator()(V value, Noise& noise) const {
    return DROPOUT ? (noise.next() >= threshold ? value * scale_up : V{}) : value;
  }
};

// A function and dropout, without a norm.
template <class Function, bool DROPOUT>
class Pointwise : public SameShape {
 public:
  Pointwise(const Layout& shape, Function function, double probability, int number)
      : SameShape(shape), function(function), drop(probability, number) {}

  void forward(const Pass& pass, const Tile& tile, const float* from, float* to) override {
    Noise noise = drop.noise(pass, tile);
    for (int c = 0; c < in.channels; ++c)
      if (DROPOUT && pass.training)
        walk(c, in, out, [&](long i, long o) { store(to + o, drop(function.value(load(from + i)), noise)); });
      else
        walk(c, in, out, [&](long i, long o) { store(to + o, function.value(load(from + i))); });
  }

  void backward(const Pass& pass, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    Noise noise = drop.noise(pass, tile);
    for (int c = 0; c < in.channels; ++c)
      walk(c, in, in_gradient, [&](long i, long o) {
        store(input_gradients + o, function.undo(drop(load(gradients + i), noise), load(from + i)));
      });
  }

 private:
  Function function;
  Dropout<DROPOUT> drop;
};

// Batch norm, a function and dropout. Its gradient and its input lie at the same places.
template <bool RELU_BEFORE, class Function, bool DROPOUT>
class NormPointwise : public BatchNorm<RELU_BEFORE> {
  using Norm = BatchNorm<RELU_BEFORE>;
  using Norm::before, Norm::coefficients, Norm::in, Norm::in_gradient, Norm::out, Norm::sums;

 public:
  NormPointwise(const Layout& shape, bool scaled, Function function, double probability, int number)
      : Norm(shape, scaled), function(function), drop(probability, number) {}

  Layout wanted_gradient() const override { return in; }

  void forward(const Pass& pass, const Tile& tile, const float* from, float* to) override {
    Noise noise = drop.noise(pass, tile);
    for (int c = 0; c < in.channels; ++c) {
      const auto own = coefficients[pass.thread][c];
      const auto value = [&](long i) { return function.value(own.norm(before(load(from + i)))); };
      if (DROPOUT && pass.training)
        walk(c, in, out, [&](long i, long o) { store(to + o, drop(value(i), noise)); });
      else
        walk(c, in, out, [&](long i, long o) { store(to + o, value(i)); });
    }
  }

  // The sums over a tile that the gradient of the norm needs. This function and `backward` both compute the gradient
  // behind the norm, because computing it twice is faster than storing it.
  void measure_gradient(const Pass& pass, const Tile& tile, const float* from, const float* gradients) override {
    Noise noise = drop.noise(pass, tile);
    const auto some_channels = [&](auto some, int first) {
      V sum[some] = {}, product[some] = {};
      const auto* own = &coefficients[pass.thread][first];
      const long plane = in.plane();
      walk(first, in, in, [&](long i, long) {
        for (int k = 0; k < some; ++k) {
          const V value = before(load(from + i + k * plane));
          const V gradient = function.undo(drop(load(gradients + i + k * plane), noise), own[k].norm(value));
          sum[k] += gradient;
          product[k] += gradient * (value - own[k].mean);
        }
      });
      for (int k = 0; k < some; ++k)
        sums[size_t(tile.index) * in.channels + first + k] = {add_lanes(sum[k]), add_lanes(product[k])};
    };
    if constexpr (DROPOUT)  // its random numbers come channel by channel
      for (int c = 0; c < in.channels; ++c) some_channels(std::integral_constant<int, 1>{}, c);
    else
      Norm::together(in.channels, some_channels);
  }

  void backward(const Pass& pass, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    Noise noise = drop.noise(pass, tile);
    for (int c = 0; c < in.channels; ++c) {
      const auto own = coefficients[pass.thread][c];
      walk(c, in, in_gradient, [&](long i, long o) {
        const V raw = load(from + i);
        const V gradient = function.undo(drop(load(gradients + i), noise), own.norm(before(raw)));
        store(input_gradients + o, Norm::undo(own, raw, gradient, tile));
      });
    }
  }

 private:
  Function function;
  Dropout<DROPOUT> drop;
};

}  // namespace drilldown
