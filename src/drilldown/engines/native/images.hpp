// From the bytes of the training set to a tile: gathers, warps, lights and normalises images.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

constexpr int MOST_CHANNELS = 4;

// The size of every image, and how the values (0…255) of each channel are normalised: value · scale + shift.
struct Images {
  int32_t channels, height, width;
  float scale[MOST_CHANNELS], shift[MOST_CHANNELS];
};

// The random draws for the images of an epoch, in the order in which training reads them; null without augmentation.
struct Augmentation {
  const float* inverse = nullptr;  // [count][2][3]: output pixel → input pixel, in pixels from the centre
  const float* light = nullptr;    // [count][2]: factors of brightness and contrast
  int64_t nearest = 0;             // as wide as a pointer: padding could hide a field that Python lacks
};

// Reads images for one thread, and holds those of the tile that it reads.
class Reader {
 public:
  explicit Reader(const Images& images)
      : images(images), columns(images.width + 3), area((images.height + 3) * columns),
        sources(size_t(area) * LANES * images.channels) {
    for (int lane = 0; lane < LANES; ++lane) starts[lane] = lane * images.channels * area;
  }

  static size_t bytes(const Images& images) {
    return sizeof(float) * LANES * size_t(images.channels) * size_t(images.height + 3) * size_t(images.width + 3);
  }

  // rows[p] is the image at position p of the epoch. If `rows` is null, it is image p.
  void read(const uint8_t* pixels, const Tile& tile, const int64_t* rows, const Augmentation& augmentation,
            const Layout& layout, float* to) {
    const int pixels_each = images.height * images.width;
    for (int lane = 0; lane < LANES; ++lane) {
      const int64_t position = tile.position + std::min(lane, tile.samples - 1);
      const uint8_t* from = pixels + (rows ? rows[position] : position) * images.channels * pixels_each;
      float* source = sources + size_t(lane) * images.channels * area;
      for (int c = 0; c < images.channels; ++c, from += pixels_each, source += area)
        for (int y = 0; y < images.height; ++y)
          for (int x = 0; x < images.width; ++x) source[(y + 1) * columns + x + 1] = from[y * images.width + x];
    }
    if (!augmentation.inverse)
      fill(layout, to, [&](int c, int y, int x) { return gather(starts + (c * area + (y + 1) * columns + x + 1)); });
    else if (augmentation.nearest)
      warp<true>(tile, augmentation, layout, to);
    else
      warp<false>(tile, augmentation, layout, to);
    if (augmentation.light) relight(tile, augmentation, layout, to);
    fill(layout, to,
         [&](int c, int y, int x) { return load(to + layout.at(c, y, x)) * images.scale[c] + images.shift[c]; });
  }

 private:
  template <bool NEAREST>
  void warp(const Tile& tile, const Augmentation& augmentation, const Layout& layout, float* to) {
    V map[6];
    for (int i = 0; i < 6; ++i) map[i] = draws(tile, augmentation.inverse + i, 6);
    const V middle_x = splat((images.width - 1) / 2.0f), middle_y = splat((images.height - 1) / 2.0f);
    each_pixel([&](int row, int column) {
      const V x = float(column) - middle_x, y = float(row) - middle_y;
      // Stored rows and columns count from 1: a row and a column of zeros come first.
      const V u = clamp(map[0] * x + map[1] * y + map[2] + middle_x + 1.0f, images.width + 1);
      const V v = clamp(map[3] * x + map[4] * y + map[5] + middle_y + 1.0f, images.height + 1);
      const float half = NEAREST ? 0.5f : 0.0f;
      const Integers left = __builtin_convertvector(u + half, Integers);  // rounds down, because no value is negative
      const Integers top = __builtin_convertvector(v + half, Integers);
      Integers corner = starts + top * columns + left;
      const V right_share = u - __builtin_convertvector(left, V), bottom_share = v - __builtin_convertvector(top, V);
      for (int c = 0; c < images.channels; ++c, corner += area) {
        V value = gather(corner);
        if (!NEAREST) {
          const V upper_left = value, upper_right = gather(corner + 1);
          const V lower_left = gather(corner + columns), lower_right = gather(corner + columns + 1);
          const V upper = upper_left + (upper_right - upper_left) * right_share;
          const V lower = lower_left + (lower_right - lower_left) * right_share;
          value = upper + (lower - upper) * bottom_share;
        }
        store(to + layout.at(c, row, column), value);
      }
    });
  }

  void relight(const Tile& tile, const Augmentation& augmentation, const Layout& layout, float* to) {
    const V brightness = draws(tile, augmentation.light, 2), contrast = draws(tile, augmentation.light + 1, 2);
    V mean{};
    fill(layout, to, [&](int c, int y, int x) {
      const V value = load(to + layout.at(c, y, x));
      mean += value;
      return value;
    });
    mean /= float(images.channels * images.height * images.width);
    fill(layout, to, [&](int c, int y, int x) {
      return clamp(brightness * (mean + contrast * (load(to + layout.at(c, y, x)) - mean)), 255);
    });
  }

  // One number for the sample of each lane.
  static V draws(const Tile& tile, const float* from, int stride) {
    V values{};
    for (int lane = 0; lane < LANES; ++lane)
      values[lane] = from[(tile.position + std::min(lane, tile.samples - 1)) * stride];
    return values;
  }

  static V clamp(V value, int most) {
    value = value > 0.0f ? value : V{};
    const V limit = splat(float(most));
    return value < limit ? value : limit;
  }

  V gather(Integers places) const {
    const float* from = sources;
    int32_t from_where[LANES];  // plain arrays: compilers turn them into a gather instruction
    float values[LANES];
    std::memcpy(from_where, &places, sizeof places);
    for (int lane = 0; lane < LANES; ++lane) values[lane] = from[from_where[lane]];
    V gathered;
    std::memcpy(&gathered, values, sizeof values);
    return gathered;
  }

  template <class Visit>
  void each_pixel(Visit visit) const {
    for (int y = 0; y < images.height; ++y)
      for (int x = 0; x < images.width; ++x) visit(y, x);
  }

  template <class Pixel>
  void fill(const Layout& layout, float* to, Pixel pixel) const {
    for (int c = 0; c < images.channels; ++c)
      each_pixel([&](int y, int x) { store(to + layout.at(c, y, x), pixel(c, y, x)); });
  }

  Images images;
  int columns, area;
  // The channels of the images of the lanes, one after the other. Each has a row and a column of zeros before it and
  // two behind it, so that a coordinate outside the image, clamped to the border, reads background.
  Buffer sources;
  Integers starts;
};

}  // namespace drilldown
