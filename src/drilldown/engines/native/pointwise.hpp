// Batch norm, relu and dropout, which change numbers one by one.
//
// They cost memory traffic, not arithmetic. So a row of them is one layer with one pass: relu before the norm, the
// norm, relu after it, dropout. Each may be missing. Template arguments choose, so the loops contain no tests.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "noise.hpp"

namespace drilldown {

constexpr float EPSILON = 1e-5f;  // PyTorch's default, added to the variance
constexpr float MOMENTUM = 0.1f;  // PyTorch's default, of the running statistics

template <bool RELU_BEFORE, bool NORM, bool RELU_AFTER, bool DROPOUT>
class Pointwise : public SameShape {
 public:
  // `scaled`: whether the norm learns a scale. `number` is the place of dropout in the list of layers, a key of its
  // random numbers.
  Pointwise(const Layout& shape, bool scaled, double probability, int number)
      : SameShape(shape), scaled(scaled), number(number) {
    parameters = NORM ? (scaled + 1) * shape.channels : 0;  // scale, shift
    buffers = NORM ? 2 * shape.channels : 0;                // mean, variance
    scale_up = dropout_scale(probability);
    threshold = drop_threshold(probability);
  }

  void allocate(int tiles, int threads) override {
    moments.resize(size_t(tiles) * in.channels);
    sums.resize(size_t(tiles) * in.channels);
    coefficients.assign(threads, std::vector<Coefficients>(in.channels));
  }

  // Takes the running statistics, which evaluation uses. In training, `combine` replaces them by those of the batch.
  void prepare(const float* weights, const float* running) override {
    if (!NORM) return;
    for (auto& thread : coefficients)
      for (int c = 0; c < in.channels; ++c) {
        if (scaled) thread[c].weight = weights[c];
        thread[c].shift = weights[scaled * in.channels + c];
        thread[c].normalise(running[c], running[in.channels + c]);
      }
  }

  bool spans_batch() const override { return NORM; }

  // The mean of each channel, and the sum of squared distances from it, in one pass. It measures distances from the
  // mean of the first row, which is near enough to the mean that no digits cancel.
  void measure(const Tile& tile, const float* from) override {
    const double count = double(tile.samples) * in.height * in.width;
    for (int c = 0; c < in.channels; ++c) {
      V row{}, sum{}, squares{};
      for (int x = 0; x < in.width; ++x) row += before(load(from + in.at(c, 0, x)));
      const double pivot = add_lanes(row * tile.valid) / (double(tile.samples) * in.width);
      const V middle = splat(float(pivot));
      walk(c, in, in, [&](long i, long) {
        const V distance = before(load(from + i)) - middle;
        sum += distance;
        squares += distance * distance;
      });
      const double shift = add_lanes(sum * tile.valid) / count;
      moments[size_t(tile.index) * in.channels + c] = {count, float(pivot) + shift,
                                                       add_lanes(squares * tile.valid) - shift * shift * count};
    }
  }

  // Combines the moments of the tiles (Chan, Golub and LeVeque, "Updating formulae…", 1979, equation 2.1).
  void combine(const Pass& pass, int tiles, float* running) override {
    for (int c = 0; c < in.channels; ++c) {
      Moments all = moments[c];
      for (int t = 1; t < tiles; ++t) {
        const Moments& tile = moments[size_t(t) * in.channels + c];
        const double count = all.count + tile.count, distance = tile.mean - all.mean;
        all.squares += tile.squares + distance * distance * all.count * tile.count / count;
        all.mean += distance * tile.count / count;
        all.count = count;
      }
      coefficients[pass.thread][c].normalise(float(all.mean), float(all.squares / all.count));
      if (pass.thread == 0) {  // the batch uses the biased variance, the running statistics the unbiased one
        remember(running[c], float(all.mean));
        remember(running[in.channels + c], float(all.squares / (all.count - 1)));
      }
    }
  }

  void forward(const Pass& pass, const Tile& tile, const float* from, float* to) override {
    Noise noise(pass.noise, number, tile.position);
    const bool drops = DROPOUT && pass.training;
    for (int c = 0; c < in.channels; ++c) {
      const Coefficients own = NORM ? coefficients[pass.thread][c] : Coefficients{};
      if (drops)
        walk(c, in, out, [&](long i, long o) { store(to + o, drop(after(norm(own, before(load(from + i)))), noise)); });
      else
        walk(c, in, out, [&](long i, long o) { store(to + o, after(norm(own, before(load(from + i))))); });
    }
  }

  // The sums over a tile that the gradient of the norm needs. This function and `backward` both compute the gradient
  // behind dropout and relu, because computing it twice is faster than storing it.
  void measure_gradient(const Pass& pass, const Tile& tile, const float* from, const float* gradients) override {
    Noise noise(pass.noise, number, tile.position);
    const auto some_channels = [&](auto some, int first) {
      V sum[some] = {}, product[some] = {};
      const Coefficients* own = &coefficients[pass.thread][first];
      const long plane = in.plane();
      walk(first, in, in, [&](long i, long) {
        for (int k = 0; k < some; ++k) {
          const V value = before(load(from + i + k * plane));
          const V gradient = undo_after(load(gradients + i + k * plane), norm(own[k], value), noise);
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
      together(in.channels, some_channels);
  }

  void combine_gradient(const Pass& pass, int tiles, int samples) override {
    const double count = double(samples) * in.height * in.width;
    for (int c = 0; c < in.channels; ++c) {
      Sums all;
      for (int t = 0; t < tiles; ++t) {
        all.gradient += sums[size_t(t) * in.channels + c].gradient;
        all.product += sums[size_t(t) * in.channels + c].product;
      }
      coefficients[pass.thread][c].take_gradient(all, count);
    }
  }

  void backward(const Pass& pass, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    Noise noise(pass.noise, number, tile.position);
    for (int c = 0; c < in.channels; ++c) {
      const Coefficients own = NORM ? coefficients[pass.thread][c] : Coefficients{};
      walk(c, in, in_gradient, [&](long i, long o) {
        const V raw = load(from + i), value = before(raw);
        V gradient = undo_after(load(gradients + i), norm(own, value), noise);
        if (NORM) gradient = own.scale * (gradient - own.mean_gradient - (value - own.mean) * own.slope) * tile.valid;
        store(input_gradients + o, RELU_BEFORE ? (raw > 0.0f ? gradient : V{}) : gradient);
      });
    }
  }

  void collect(int, float* gradients) override {
    for (int c = 0; c < (NORM ? in.channels : 0); ++c) {
      if (scaled) gradients[c] = coefficients[0][c].weight_gradient;
      gradients[scaled * in.channels + c] = coefficients[0][c].shift_gradient;
    }
  }

 private:
  // The number of values in a channel of a tile, their mean, and the sum of squared distances from it.
  struct Moments {
    double count = 0, mean = 0, squares = 0;
  };

  // Sums over a channel of the gradient, and of the gradient times the distance of the value from the mean.
  struct Sums {
    double gradient = 0, product = 0;
  };

  // The factors of a channel forward, and then those of its gradient. Every thread has its own copy.
  struct Coefficients {
    float weight = 1, shift = 0, mean = 0, inverse = 1, scale = 1;  // inverse: 1 / standard deviation
    float mean_gradient = 0, slope = 0, weight_gradient = 0, shift_gradient = 0;

    void normalise(float new_mean, float variance) {
      mean = new_mean;
      inverse = 1 / std::sqrt(variance + EPSILON);
      scale = weight * inverse;
    }
    void take_gradient(const Sums& sums, double count) {
      shift_gradient = float(sums.gradient);
      weight_gradient = float(sums.product * inverse);
      mean_gradient = float(sums.gradient / count);
      slope = float(sums.product * inverse * inverse / count);
    }
  };

  // Sums of one channel wait for each other; those of TOGETHER channels do not.
  static constexpr int TOGETHER = 4;
  template <class Work>
  static void together(int channels, Work work) {
    int c = 0;
    for (; c + TOGETHER <= channels; c += TOGETHER) work(std::integral_constant<int, TOGETHER>{}, c);
    for (; c < channels; ++c) work(std::integral_constant<int, 1>{}, c);
  }

  static void remember(float& running, float now) { running += MOMENTUM * (now - running); }

  static V before(V value) { return RELU_BEFORE ? relu(value) : value; }
  static V norm(const Coefficients& own, V value) { return NORM ? (value - own.mean) * own.scale + own.shift : value; }
  static V after(V value) { return RELU_AFTER ? relu(value) : value; }
  V drop(V value, Noise& noise) const { return noise.next() >= threshold ? value * scale_up : V{}; }

  // The gradient with respect to `normed`, the output of the norm, from the gradient with respect to that of dropout.
  V undo_after(V gradient, V normed, Noise& noise) const {
    if (DROPOUT) gradient = drop(gradient, noise);
    return RELU_AFTER ? (normed > 0.0f ? gradient : V{}) : gradient;
  }

  bool scaled;
  int number;
  float scale_up;
  uint32_t threshold;
  std::vector<Moments> moments;                         // [tile][channel]
  std::vector<Sums> sums;                               // [tile][channel]
  std::vector<std::vector<Coefficients>> coefficients;  // [thread][channel]
};

}  // namespace drilldown
