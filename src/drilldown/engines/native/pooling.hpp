// Layers without weights that change the shape of an image.
#pragma once

#include <type_traits>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

// The maximum of each size × size window. A remainder at the edge has no window. The first maximum gets the gradient.
class MaxPool : public Layer {
 public:
  MaxPool(Layout shape, int size) : size(size) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = Layout::plain(shape.channels, shape.height / size, shape.width / size);
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    with_size([&](auto size) {
      for (int c = 0; c < out.channels; ++c)
        for (int y = 0; y < out.height; ++y) {
          const float* window = from + in.at(c, y * size, 0);
          float* pixel = to + out.at(c, y, 0);
          for (int x = 0; x < out.width; ++x, window += size * in.step(), pixel += out.step()) {
            V best = load(window);
            for (int i = 0; i < size; ++i)
              for (int j = 0; j < size; ++j) {
                const V value = load(window + i * in.row() + j * in.step());
                best = (value > best) | (value != value) ? value : best;  // NaN stays NaN, as in PyTorch
              }
            store(pixel, best);
          }
        }
    });
  }

  void backward(const Pass&, const Tile&, const float* from, const float* to, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    if (in.height % size || in.width % size)  // no window contains the remainder
      for (int c = 0; c < in.channels; ++c)
        for (int y = 0; y < in.height; ++y)
          for (int x = 0; x < in.width; ++x) store(input_gradients + in_gradient.at(c, y, x), V{});
    with_size([&](auto size) {
      for (int c = 0; c < out.channels; ++c)
        for (int y = 0; y < out.height; ++y) {
          const float *window = from + in.at(c, y * size, 0), *best = to + out.at(c, y, 0);
          const float* gradient = gradients + out_gradient.at(c, y, 0);
          float* target = input_gradients + in_gradient.at(c, y * size, 0);
          for (int x = 0; x < out.width; ++x) {
            const V maximum = load(best);
            V left = load(gradient);  // zero as soon as a maximum has got it
            for (int i = 0; i < size; ++i)
              for (int j = 0; j < size; ++j) {
                const auto hit = load(window + i * in.row() + j * in.step()) == maximum;
                store(target + i * in_gradient.row() + j * in_gradient.step(), hit ? left : V{});
                left = hit ? V{} : left;
              }
            window += size * in.step(), target += size * in_gradient.step();
            best += out.step(), gradient += out_gradient.step();
          }
        }
    });
  }

 private:
  // Passes the usual size as a constant, so that the compiler unrolls the loops over a window.
  template <class Work>
  void with_size(Work work) {
    if (size == 2)
      work(std::integral_constant<int, 2>{});
    else
      work(size);
  }

  int size;
};

// The mean of each height × width window. The window of global average pooling is the whole image.
class AveragePool : public Layer {
 public:
  AveragePool(Layout shape, int height, int width) : height(height), width(width) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = Layout::plain(shape.channels, shape.height / height, shape.width / width);
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    const float share = 1.0f / float(height * width);
    for (int c = 0; c < out.channels; ++c)
      for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x) {
          V sum{};
          for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j) sum += load(from + in.at(c, y * height + i, x * width + j));
          store(to + out.at(c, y, x), sum * share);
        }
  }

  void backward(const Pass&, const Tile&, const float*, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    const float share = 1.0f / float(height * width);
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x) {
          const bool inside = y / height < out.height && x / width < out.width;
          const V gradient = inside ? load(gradients + out_gradient.at(c, y / height, x / width)) * share : V{};
          store(input_gradients + in_gradient.at(c, y, x), gradient);
        }
  }

 private:
  int height, width;
};

// Makes each pixel a channel, channel by channel and row by row.
class Flatten : public Layer {
 public:
  explicit Flatten(Layout shape) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = Layout::plain(shape.channels * shape.height * shape.width, 1, 1);
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    pair([&](int feature, int c, int y, int x) { store(to + out.at(feature, 0, 0), load(from + in.at(c, y, x))); });
  }

  void backward(const Pass&, const Tile&, const float*, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    pair([&](int feature, int c, int y, int x) {
      store(input_gradients + in_gradient.at(c, y, x), load(gradients + out_gradient.at(feature, 0, 0)));
    });
  }

 private:
  template <class Visit>
  void pair(Visit visit) const {
    int feature = 0;
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x) visit(feature++, c, y, x);
  }
};

}  // namespace drilldown
