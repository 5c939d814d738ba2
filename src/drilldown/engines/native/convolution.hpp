// Convolutions and linear layers. They make the lists of taps that the kernels read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels.hpp"
#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "rounding.hpp"
#include "sweep.hpp"

namespace drilldown {

// A convolution. `Linear` is one whose kernel covers the whole image.
//
// Its parameters, as in PyTorch: the weights [out][in / groups][kernel][kernel], and then any bias [out].
class Convolution : public Layer {
 public:
  Convolution(Layout shape, int channels, int kernel, int stride, int pad, int dilation, int groups, bool bias,
              Rounding rounding)
      : kernel(kernel), stride(stride), pad(pad), dilation(dilation), reach(dilation * (kernel - 1)), groups(groups),
        has_bias(bias), rounding(rounding) {
    in = shape;
    out = Layout::plain(channels, (shape.height + 2 * pad - reach - 1) / stride + 1,
                        (shape.width + 2 * pad - reach - 1) / stride + 1);
    taps_each = shape.channels / groups * kernel * kernel;
    parameters = channels * (taps_each + bias);
  }

  Layout wanted_input() const override { return Layout::bordered(in.channels, in.height, in.width, pad); }

  // With zeros around it, the gradient of the output gives the gradient of the input by convolutions.
  Layout wanted_gradient() const override {
    const int border = (std::max(0, reach - pad) + stride - 1) / stride;
    const auto stored = [&](int outs, int ins) { return border + std::max(outs, (ins - 1 + pad) / stride + 1); };
    return {out.channels, out.height, out.width, border, stored(out.height, in.height), stored(out.width, in.width)};
  }

  size_t bytes(int tiles, int threads) const override {
    return sizeof(float) * parameters * (size_t(tiles) + 3 + (rounding.bits > 0) + size_t(threads) * LANES);
  }

  void allocate(int tiles, int threads) override {
    describe();
    origin = in.at(0, -pad, -pad);
    forward_sweep.cut_columns();
    for (Sweep& sweep : backward_sweeps) sweep.cut_columns();
    partial = Buffer(size_t(tiles) * parameters);
    for (int i = 0; i < threads; ++i) sums.emplace_back(size_t(parameters) * LANES);
    if (rounding.bits) rounded.resize(size_t(out.channels) * taps_each);
  }

  // Rounded weights are a copy: the step changes the exact ones, by the gradients of the rounded ones.
  void prepare(const float* weights, const float*) override {
    const float* biases = weights + out.channels * taps_each;
    if (rounding.bits) {
      round_weights(rounding, weights, rounded.data(), out.channels, taps_each);
      weights = rounded.data();
    }
    for (Block& block : forward_sweep.blocks)
      for (int c = 0; c < block.count; ++c) {
        const float* from = weights + (block.first + c) * taps_each;
        for (int t = 0; t < taps_each; ++t) block.weights[t * block.count + c] = from[t];
        if (has_bias) block.bias[c] = biases[block.first + c];
      }
    // Backward, input and output change places: each input channel has taps (output channel, row, column).
    const int ins = in_per_group(), outs = out.channels / groups, area = taps_each / ins;
    for (Sweep& sweep : backward_sweeps)
      for (Block& block : sweep.blocks)
        for (int c = 0; c < block.count; ++c) {
          const int channel = block.first + c;
          const float* from = weights + channel / ins * outs * taps_each + channel % ins * area;
          float* to = block.weights.data() + c;
          for (int o = 0; o < outs; ++o, from += taps_each)
            for (const int place : sweep.places) *to = from[place], to += block.count;
        }
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    forward_sweep.run(from + origin, to);
  }

  void backward(const Pass& pass, const Tile& tile, const float* from, const float*, const float* gradients,
                float* input_gradients) override {
    correlate_weights(pass, tile, from + origin, gradients);
    if (input_gradients)
      for (const Sweep& sweep : backward_sweeps) sweep.run(gradients, input_gradients);
  }

  void collect(int tiles, float* gradients) override {
    std::memcpy(gradients, partial, sizeof(float) * parameters);
    for (int t = 1; t < tiles; ++t) {
      const float* tile = partial + size_t(t) * parameters;
      for (int i = 0; i < parameters; ++i) gradients[i] += tile[i];
    }
  }

 protected:
  virtual int in_per_group() const { return in.channels / groups; }

  // Lists the taps of all sweeps in the order of the weights.
  virtual void describe() {
    describe_forward();
    backward_sweeps.resize(size_t(stride) * stride);
    for (int y = 0; y < stride; ++y)
      for (int x = 0; x < stride; ++x) describe_backward(backward_sweeps[y * stride + x], y, x);
  }

  void describe_forward() {
    Sweep& sweep = forward_sweep;
    sweep.height = out.height, sweep.width = out.width;
    sweep.in_row = stride * in.row(), sweep.in_step = stride * in.step();
    sweep.out_row = out.row(), sweep.out_step = out.step(), sweep.out_first = out.at(0, 0, 0);
    sweep.kernel_rows = sweep.kernel_columns = kernel;
    const int per_group = out.channels / groups;
    for (int group = 0; group < groups; ++group) {
      std::vector<int> taps;
      for (int c = 0; c < in_per_group(); ++c)
        for (int y = 0; y < kernel; ++y)
          for (int x = 0; x < kernel; ++x)
            taps.push_back(int((group * in_per_group() + c) * in.plane() + (y * in.columns + x) * dilation * LANES));
      add_blocks(sweep, group * per_group, per_group, taps, [&](int c) { return int(c * out.plane()); });
    }
    sweep.together = int(sweep.blocks.size()) / groups;
    const int above = in.border - pad;
    sweep.leave_out_zeros(in, [&](int y, int k) { return above + y * stride + k * dilation; });
    if (has_bias)
      for (Block& block : sweep.blocks) block.bias.resize(block.count);
  }

  // With a stride, neighbouring pixels of the input see different parts of the kernel. This is the sweep of the pixels
  // y, y + stride, … and x, x + stride, …
  void describe_backward(Sweep& sweep, int first_y, int first_x) {
    sweep.height = std::max(0, (in.height - first_y + stride - 1) / stride);
    sweep.width = std::max(0, (in.width - first_x + stride - 1) / stride);
    sweep.in_row = out_gradient.row(), sweep.in_step = out_gradient.step();
    sweep.out_row = stride * in_gradient.row(), sweep.out_step = stride * in_gradient.step();
    sweep.out_first = in_gradient.at(0, first_y, first_x);
    // From each row of the kernel that such pixels see, the row of the output, counted from that of the first pixel.
    const auto seen_from = [&](int first) {
      std::vector<std::pair<int, int>> seen;  // row of the kernel, row of the output
      for (int k = 0; k < kernel; ++k)
        if ((first + pad - k * dilation) % stride == 0) seen.emplace_back(k, (first + pad - k * dilation) / stride);
      return seen;
    };
    auto rows = seen_from(first_y);
    const auto columns = seen_from(first_x);
    if (columns.empty()) rows.clear();  // such pixels see nothing
    sweep.kernel_rows = int(rows.size()), sweep.kernel_columns = rows.empty() ? 0 : int(columns.size());
    for (const auto& [y, row] : rows)
      for (const auto& [x, column] : columns) sweep.places.push_back(y * kernel + x);
    const int per_group = out.channels / groups;
    for (int group = 0; group < groups; ++group) {
      std::vector<int> taps;
      for (int c = 0; c < per_group; ++c)
        for (const auto& [y, row] : rows)
          for (const auto& [x, column] : columns)
            taps.push_back(int(out_gradient.at(group * per_group + c, row, column)));
      add_blocks(sweep, group * in_per_group(), in_per_group(), taps,
                 [&](int c) { return int(c * in_gradient.plane()); });
    }
    sweep.together = int(sweep.blocks.size()) / groups;
    sweep.leave_out_zeros(out_gradient, [&](int y, int k) { return out_gradient.border + y + rows[k].second; });
  }

  template <class Offset>
  static void add_blocks(Sweep& sweep, int first, int count, const std::vector<int>& taps, Offset offset) {
    for (const int size : cut(count, MAX_CHANNELS)) {
      std::vector<int> channels;
      for (int c = 0; c < size; ++c) channels.push_back(offset(first + c));
      sweep.blocks.emplace_back(first, size, taps, std::move(channels));
      first += size;
    }
  }

  int kernel, stride, pad, dilation, reach, groups, taps_each;  // reach: from the first row of the kernel to the last
  bool has_bias;
  Rounding rounding;
  std::vector<float> rounded;  // [out][tap]: the weights, if they are rounded
  long origin = 0;             // where the kernel begins for pixel (0, 0) of the output
  Sweep forward_sweep;
  std::vector<Sweep> backward_sweeps;

 private:
  // The gradient of each weight: summed over the pixels of the tile lane by lane, then over the lanes.
  void correlate_weights(const Pass& pass, const Tile& tile, const float* from, const float* gradients) {
    float* mine = partial + size_t(tile.index) * parameters;
    float* sum = sums[pass.thread];
    const Sweep& sweep = forward_sweep;
    for (const Block& block : sweep.blocks) {
      const int taps = int(block.taps.size());
      int channels[MAX_CHANNELS];
      for (int c = 0; c < block.count; ++c) channels[c] = int((block.first + c) * out_gradient.plane());
      std::memset(sum, 0, sizeof(float) * LANES * taps * block.count);
      // Each tap reads the gradients of the block again. This number of rows keeps them in the first-level cache.
      const int band = std::max(1, 4096 / (block.count * out.width * LANES));
      for (int y = 0; y < out.height; y += band) {
        int t = 0;
        for (const int width : block.tap_widths) {
          correlate_for(block.count, width)(from + y * sweep.in_row, sweep.in_step, sweep.in_row, &block.taps[t],
                                            gradients + out_gradient.at(0, y, 0), out_gradient.step(),
                                            out_gradient.row(), channels, std::min(band, out.height - y), out.width,
                                            sum + long(t) * block.count * LANES, block.count);
          t += width;
        }
      }
      for (int c = 0; c < block.count; ++c)
        for (int t = 0; t < taps; t += LANES) {
          V some[LANES] = {};
          const int many = std::min(LANES, taps - t);
          for (int i = 0; i < many; ++i) some[i] = load(sum + ((t + i) * block.count + c) * LANES);
          add_lanes_of(some);
          std::memcpy(mine + (block.first + c) * taps_each + t, some, many * sizeof(float));
        }
    }
    if (has_bias)
      for (int c = 0; c < out.channels; ++c) {
        V total{};
        for (int y = 0; y < out.height; ++y)
          for (int x = 0; x < out.width; ++x) total += load(gradients + out_gradient.at(c, y, x));
        mine[out.channels * taps_each + c] = add_lanes(total);
      }
  }

  Buffer partial;            // [tile][parameter]
  std::vector<Buffer> sums;  // one per thread: [tap][channel of a block][LANES]
};

// A linear layer. Its features are the pixels, channel by channel and row by row, as PyTorch flattens them.
class Linear : public Convolution {
 public:
  Linear(Layout shape, int channels, Rounding rounding)
      : Convolution(Layout::plain(features_of(shape), 1, 1), channels, 1, 1, 0, 1, 1, true, rounding) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
  }

  Layout wanted_input() const override { return Layout::plain(in.channels, in.height, in.width); }
  Layout wanted_gradient() const override { return Layout::plain(out.channels, 1, 1); }

 protected:
  static int features_of(const Layout& shape) { return shape.channels * shape.height * shape.width; }
  int in_per_group() const override { return features_of(in); }

  void describe() override {
    const auto place = [](const Layout& layout, int feature) {
      const int area = layout.height * layout.width;
      return int(layout.at(feature / area, feature % area / layout.width, feature % layout.width) - layout.at(0, 0, 0));
    };
    std::vector<int> taps, back_taps;
    for (int i = 0; i < features_of(in); ++i) taps.push_back(place(in, i));
    for (int c = 0; c < out.channels; ++c) back_taps.push_back(int(c * out_gradient.plane()));
    Sweep& backward_sweep = backward_sweeps.emplace_back();
    forward_sweep.height = forward_sweep.width = backward_sweep.height = backward_sweep.width = 1;
    forward_sweep.out_first = out.at(0, 0, 0), backward_sweep.out_first = in_gradient.at(0, 0, 0);
    backward_sweep.places = {0};
    add_blocks(forward_sweep, 0, out.channels, taps, [&](int c) { return int(c * out.plane()); });
    add_blocks(backward_sweep, 0, features_of(in), back_taps, [&](int i) { return place(in_gradient, i); });
    forward_sweep.together = int(forward_sweep.blocks.size());
    backward_sweep.together = int(backward_sweep.blocks.size());
    for (Block& block : forward_sweep.blocks) block.bias.resize(block.count);
  }
};

}  // namespace drilldown
