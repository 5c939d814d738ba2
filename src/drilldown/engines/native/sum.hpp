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

class Sum : public Layer {
 public:
  int other;                        // the second slot that it reads
  bool other_adds = false;          // as `adds`, for the second slot
  Layout other_in, other_gradient;  // as `in` and `in_gradient`

  Sum(const Layout& shape, int other) : other(other) {
    in = out = Layout::plain(shape.channels, shape.height, shape.width);
  }

  void forward(const Pass&, const Tile& tile, const float* from, float* to) override {
    const float* second = tile.values[other];
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x)
          store(to + out.at(c, y, x), load(from + in.at(c, y, x)) + load(second + other_in.at(c, y, x)));
  }

  void backward(const Pass&, const Tile& tile, const float*, const float*, const float* gradients,
                float* input_gradients) override {
    if (input_gradients) transfer<false>(out_gradient, gradients, in_gradient, input_gradients);
    float* second = tile.gradients[other];
    if (second && other_adds) transfer<true>(out_gradient, gradients, other_gradient, second);
    if (second && !other_adds) transfer<false>(out_gradient, gradients, other_gradient, second);
  }
};

}  // namespace drilldown
