// The end of a skip block: the sum of what two layers compute, or of a layer and the input of the block.
#pragma once

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

// Copies an image into another layout, or adds it to what lies there.
template <bool ADD>
inline void transfer(const Layout& from_layout, const float* from, const Layout& to_layout, float* to) {
  for (int c = 0; c < from_layout.channels; ++c)
    for (int y = 0; y < from_layout.height; ++y) {
      const float* a = from + from_layout.at(c, y, 0);
      float* b = to + to_layout.at(c, y, 0);
      for (int x = 0; x < from_layout.width; ++x, a += from_layout.step(), b += to_layout.step())
        store(b, ADD ? load(b) + load(a) : load(a));
    }
}

// The sum, and a relu behind it if `has_relu`: together they are one pass over memory.
class Sum : public Layer {
 public:
  int other;                        // the second slot that it reads
  bool other_adds = false;          // as `adds`, for the second slot
  Layout other_in, other_gradient;  // as `in` and `in_gradient`

  Sum(const Layout& shape, int other, bool has_relu) : other(other), has_relu(has_relu) {
    in = out = Layout::plain(shape.channels, shape.height, shape.width);
  }

  bool reads(int slot) const override { return slot == source || slot == other; }

  // As wide as the output, so that a pixel of both has one offset.
  Layout wanted_gradient() const override { return out; }

  void forward(const Pass&, const Tile& tile, const float* from, float* to) override {
    const float* second = tile.values[other];
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y) {
        const float *a = from + in.at(c, y, 0), *b = second + other_in.at(c, y, 0);
        float* pixel = to + out.at(c, y, 0);
        for (long x = 0; x < in.width * in.step(); x += in.step()) {
          const V value = load(a + x) + load(b + x);
          store(pixel + x, has_relu ? relu(value) : value);
        }
      }
  }

  void backward(const Pass&, const Tile& tile, const float*, const float* to, const float* gradients,
                float* input_gradients) override {
    float* second = tile.gradients[other];
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y) {
        const long place = out.at(c, y, 0);
        float* a = input_gradients ? input_gradients + in_gradient.at(c, y, 0) : nullptr;
        float* b = second ? second + other_gradient.at(c, y, 0) : nullptr;
        for (long x = 0; x < in.width * in.step(); x += in.step()) {
          V gradient = load(gradients + place + x);
          if (has_relu) gradient = load(to + place + x) > 0.0f ? gradient : V{};
          if (a) store(a + x, gradient);
          if (b) store(b + x, other_adds ? load(b + x) + gradient : gradient);
        }
      }
  }

 private:
  bool has_relu;
};

}  // namespace drilldown
