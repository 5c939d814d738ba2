// Layers without weights that change the shape of an image.
#pragma once

#include <algorithm>
#include <type_traits>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

// The maximum of each size × size window; the windows lie side by side. A remainder at the edge has no window. The
// first maximum gets the gradient.
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

// The windows of a pool, of size × size pixels: their distance, and how far they reach beyond the edges.
struct Window {
  int size, stride, pad;

  Layout over(const Layout& shape) const {
    return Layout::plain(shape.channels, along(shape.height), along(shape.width));
  }
  int along(int pixels) const { return (pixels + 2 * pad - size) / stride + 1; }

  // The first pixel of window `i`, and the pixel behind its last, within the image.
  int begin(int i) const { return std::max(0, i * stride - pad); }
  int end(int i, int pixels) const { return std::min(pixels, i * stride - pad + size); }
};

// The maximum of each window, for windows that overlap or reach beyond the edges. What lies there is no candidate.
class OverlappingMaxPool : public Layer {
 public:
  OverlappingMaxPool(const Layout& shape, Window window) : window(window) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = window.over(shape);
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    for (int c = 0; c < out.channels; ++c)
      for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x) {
          V best = load(from + in.at(c, window.begin(y), window.begin(x)));
          visit(y, x, [&](int i, int j) {
            const V value = load(from + in.at(c, i, j));
            best = (value > best) | (value != value) ? value : best;
          });
          store(to + out.at(c, y, x), best);
        }
  }

  void backward(const Pass&, const Tile&, const float* from, const float* to, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    for (int c = 0; c < in.channels; ++c) {
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x) store(input_gradients + in_gradient.at(c, y, x), V{});
      for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x) {
          const V maximum = load(to + out.at(c, y, x));
          V rest = load(gradients + out_gradient.at(c, y, x));  // zero as soon as a maximum has got it
          visit(y, x, [&](int i, int j) {
            const auto hit = load(from + in.at(c, i, j)) == maximum;
            float* target = input_gradients + in_gradient.at(c, i, j);
            store(target, load(target) + (hit ? rest : V{}));
            rest = hit ? V{} : rest;
          });
        }
    }
  }

 private:
  // Visits the pixels of a window row by row.
  template <class Visit>
  void visit(int y, int x, Visit visit) const {
    for (int i = window.begin(y); i < window.end(y, in.height); ++i)
      for (int j = window.begin(x); j < window.end(x, in.width); ++j) visit(i, j);
  }

  Window window;
};

// The mean of each window. What lies beyond the edges counts as zeros.
class AveragePool : public Layer {
 public:
  AveragePool(const Layout& shape, Window window) : rows(window), columns(window) {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = window.over(shape);
  }

  // Global average pooling: the window is the whole image.
  explicit AveragePool(const Layout& shape) : rows{shape.height, 1, 0}, columns{shape.width, 1, 0} {
    in = Layout::plain(shape.channels, shape.height, shape.width);
    out = Layout::plain(shape.channels, 1, 1);
  }

  void forward(const Pass&, const Tile&, const float* from, float* to) override {
    const float share = 1.0f / float(rows.size * columns.size);
    for (int c = 0; c < out.channels; ++c)
      for (int y = 0; y < out.height; ++y)
        for (int x = 0; x < out.width; ++x) {
          V sum{};
          for (int i = rows.begin(y); i < rows.end(y, in.height); ++i)
            for (int j = columns.begin(x); j < columns.end(x, in.width); ++j) sum += load(from + in.at(c, i, j));
          store(to + out.at(c, y, x), sum * share);
        }
  }

  void backward(const Pass&, const Tile&, const float*, const float*, const float* gradients,
                float* input_gradients) override {
    if (!input_gradients) return;
    const float share = 1.0f / float(rows.size * columns.size);
    for (int c = 0; c < in.channels; ++c)
      for (int y = 0; y < in.height; ++y)
        for (int x = 0; x < in.width; ++x) {
          V sum{};
          for (int i = first(rows, y); i < out.height && rows.begin(i) <= y; ++i)
            for (int j = first(columns, x); j < out.width && columns.begin(j) <= x; ++j)
              sum += load(gradients + out_gradient.at(c, i, j));
          store(input_gradients + in_gradient.at(c, y, x), sum * share);
        }
  }

 private:
  // The first window that contains a pixel, or, where none does, one behind the pixel or behind the last window.
  static int first(const Window& window, int pixel) {
    const int before = pixel + window.pad - window.size;  // the last place of a window that ends before the pixel
    return before < 0 ? 0 : before / window.stride + 1;
  }

  Window rows, columns;
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
