// Batch norm, a function, and the maximum of windows of 2 × 2, in one pass: the largest images of a network are in
// front of its first pool, and only a quarter of them goes on.
#pragma once

#include <cstddef>

#include "functions.hpp"
#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "norm.hpp"

namespace drilldown {

// The windows lie side by side. A remainder at the edge has no window. The first maximum gets the gradient.
template <class Function>
class NormPool : public BatchNorm<false> {
 public:
  NormPool(const Layout& shape, bool scaled, Function function) : BatchNorm(shape, scaled), function(function) {
    out = Layout::plain(shape.channels, shape.height / 2, shape.width / 2);
  }

  void forward(const Pass& pass, const Tile&, const float* from, float* to) override {
    for (int c = 0; c < out.channels; ++c) {
      const Coefficients own = coefficients[pass.thread][c];
      each_window(c, [&](int y, int x, long i) { store(to + out.at(c, y, x), Values(*this, own, from + i).maximum); });
    }
  }

  void measure_gradient(const Pass& pass, const Tile& tile, const float* from, const float* gradients) override {
    for (int c = 0; c < in.channels; ++c) {
      const Coefficients own = coefficients[pass.thread][c];
      V sum{}, product{};
      each_window(c, [&](int y, int x, long i) {
        const Values values(*this, own, from + i);
        V given[4];
        values.share(load(gradients + out_gradient.at(c, y, x)), given);
        for (int k = 0; k < 4; ++k) {
          const V gradient = function.undo(given[k], values.normed[k]);
          sum += gradient;
          product += gradient * (values.raw[k] - own.mean);
        }
      });
      sums[size_t(tile.index) * in.channels + c] = {add_lanes(sum), add_lanes(product)};
    }
  }

  void backward(const Pass& pass, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    for (int c = 0; c < in.channels; ++c) {
      const Coefficients own = coefficients[pass.thread][c];
      if (in.height % 2 || in.width % 2)  // no window contains the remainder
        walk(c, in, in_gradient,
             [&](long i, long o) { store(input_gradients + o, undo(own, load(from + i), V{}, tile)); });
      each_window(c, [&](int y, int x, long i) {
        const Values values(*this, own, from + i);
        V given[4];
        values.share(load(gradients + out_gradient.at(c, y, x)), given);
        float* const target = input_gradients + in_gradient.at(c, 2 * y, 2 * x);
        for (int k = 0; k < 4; ++k)
          store(target + k / 2 * in_gradient.row() + k % 2 * in_gradient.step(),
                undo(own, values.raw[k], function.undo(given[k], values.normed[k]), tile));
      });
    }
  }

 private:
  // What a window has: its pixels row by row.
  struct Values {
    V raw[4], normed[4], value[4], maximum;

    Values(const NormPool& layer, const Coefficients& own, const float* from) {
      for (int k = 0; k < 4; ++k) {
        raw[k] = load(from + k / 2 * layer.in.row() + k % 2 * layer.in.step());
        normed[k] = own.norm(raw[k]);
        value[k] = layer.function.value(normed[k]);
        maximum = k == 0 ? value[k] : (value[k] > maximum) | (value[k] != value[k]) ? value[k] : maximum;
      }
    }

    // Gives the gradient of the maximum to the first pixel that has it.
    void share(V gradient, V (&given)[4]) const {
      for (int k = 0; k < 4; ++k) {
        const auto hit = value[k] == maximum;
        given[k] = hit ? gradient : V{};
        gradient = hit ? V{} : gradient;
      }
    }
  };

  // Visits the windows of a channel row by row, with the offset of the first pixel.
  template <class Visit>
  void each_window(int c, Visit visit) const {
    for (int y = 0; y < out.height; ++y)
      for (int x = 0; x < out.width; ++x) visit(y, x, in.at(c, 2 * y, 2 * x));
  }

  Function function;
};

}  // namespace drilldown
