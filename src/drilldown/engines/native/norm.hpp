// Batch norm: the statistics of a batch, those of its gradient, and the factors that follow from them. The layers that
// derive from it join it with what follows, so that there are few passes over memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

constexpr float EPSILON = 1e-5f;  // PyTorch's default, added to the variance
constexpr float MOMENTUM = 0.1f;  // PyTorch's default, of the running statistics

template <bool RELU_BEFORE>
class BatchNorm : public Layer {
 public:
  // `scaled`: whether the norm learns a scale.
  BatchNorm(const Layout& shape, bool scaled) : scaled(scaled) {
    in = out = Layout::plain(shape.channels, shape.height, shape.width);
    parameters = (scaled + 1) * shape.channels;  // scale, shift
    buffers = 2 * shape.channels;                // mean, variance
  }

  void allocate(int tiles, int threads) override {
    moments.resize(size_t(tiles) * in.channels);
    sums.resize(size_t(tiles) * in.channels);
    coefficients.assign(threads, std::vector<Coefficients>(in.channels));
  }

  // Takes the running statistics, which evaluation uses. In training, `combine` replaces them by those of the batch.
  void prepare(const float* weights, const float* running) override {
    for (auto& thread : coefficients)
      for (int c = 0; c < in.channels; ++c) {
        if (scaled) thread[c].weight = weights[c];
        thread[c].shift = weights[scaled * in.channels + c];
        thread[c].normalise(running[c], running[in.channels + c]);
      }
  }

  bool spans_batch() const override { return true; }

  // The mean of each channel, and the sum of squared distances from it, in one pass. It measures distances from the
  // mean of the first row, which is near enough to the mean that no digits cancel.
  void measure(const Tile& tile, const float* from) override {
    const double count = double(tile.samples) * in.height * in.width;
    const long plane = in.plane();
    together(in.channels, [&](auto some, int first) {
      V sum[some] = {}, squares[some] = {}, middle[some];
      double pivot[some];
      for (int k = 0; k < some; ++k) {
        V row{};
        for (int x = 0; x < in.width; ++x) row += before(load(from + in.at(first + k, 0, x)));
        pivot[k] = add_lanes(row * tile.valid) / (double(tile.samples) * in.width);
        middle[k] = splat(float(pivot[k]));
      }
      walk(first, in, in, [&](long i, long) {
        for (int k = 0; k < some; ++k) {
          const V distance = before(load(from + i + k * plane)) - middle[k];
          sum[k] += distance;
          squares[k] += distance * distance;
        }
      });
      for (int k = 0; k < some; ++k) {
        const double shift = add_lanes(sum[k] * tile.valid) / count;
        moments[size_t(tile.index) * in.channels + first + k] = {
            count, float(pivot[k]) + shift, add_lanes(squares[k] * tile.valid) - shift * shift * count};
      }
    });
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

  void collect(int, float* gradients) override {
    for (int c = 0; c < in.channels; ++c) {
      if (scaled) gradients[c] = coefficients[0][c].weight_gradient;
      gradients[scaled * in.channels + c] = coefficients[0][c].shift_gradient;
    }
  }

 protected:
  // Sums over a channel of the gradient behind the norm, and of it times the distance of the value from the mean.
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
    V norm(V value) const { return (value - mean) * scale + shift; }
  };

  static V before(V value) { return RELU_BEFORE ? relu(value) : value; }

  // The gradient of `raw`, the input, from the gradient behind the norm.
  static V undo(const Coefficients& own, V raw, V gradient, const Tile& tile) {
    const V value = before(raw);
    gradient = own.scale * (gradient - own.mean_gradient - (value - own.mean) * own.slope) * tile.valid;
    return RELU_BEFORE ? (raw > 0.0f ? gradient : V{}) : gradient;
  }

  // Visits the channels. Sums of one channel wait for each other; those of TOGETHER channels do not.
  static constexpr int TOGETHER = 4;
  template <class Work>
  static void together(int channels, Work work) {
    int c = 0;
    for (; c + TOGETHER <= channels; c += TOGETHER) work(std::integral_constant<int, TOGETHER>{}, c);
    for (; c < channels; ++c) work(std::integral_constant<int, 1>{}, c);
  }

  std::vector<Sums> sums;                               // [tile][channel]
  std::vector<std::vector<Coefficients>> coefficients;  // [thread][channel]

 private:
  // The number of values in a channel of a tile, their mean, and the sum of squared distances from it.
  struct Moments {
    double count = 0, mean = 0, squares = 0;
  };

  static void remember(float& running, float now) { running += MOMENTUM * (now - running); }

  bool scaled;
  std::vector<Moments> moments;  // [tile][channel]
};

}  // namespace drilldown
