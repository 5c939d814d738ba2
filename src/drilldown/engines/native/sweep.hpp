// The way of the inner loops through a whole image: which channels, pixels and taps they take together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "kernels.hpp"
#include "lanes.hpp"
#include "layout.hpp"

namespace drilldown {

// Cuts n into parts of nearly equal size, each at most `most`: cut(14, 5) is 5, 5, 4.
inline std::vector<int> cut(int n, int most) {
  const int parts = (n + most - 1) / most;
  std::vector<int> sizes;
  for (int i = 0; i < parts; ++i) sizes.push_back(n / parts + (i < n % parts));
  return sizes;
}

// Output channels that are computed together from the same taps.
struct Block {
  int first, count;             // channels of the output
  std::vector<int> taps;        // offsets in the input from the place of an output pixel
  std::vector<int> tap_widths;  // numbers of taps whose weights get their gradients together
  std::vector<int> channels;    // offsets of the channels in the output
  std::vector<int> rows;        // of one channel: the first taps of the kernel's rows
  std::vector<float> weights;   // [tap][channel], as `convolve` reads them
  std::vector<float> bias;      // [channel]; empty without a bias

  Block(int first, int count, std::vector<int> taps, std::vector<int> channels)
      : first(first), count(count), taps(std::move(taps)), tap_widths(cut(int(this->taps.size()), taps_beside(count))),
        channels(std::move(channels)), weights(this->taps.size() * count) {}
};

// Runs `convolve` over a whole image, or over every n-th row and column of it.
struct Sweep {
  std::vector<Block> blocks;
  int together = 1;                                         // numbers of neighbouring blocks that have the same taps
  int height = 0, width = 0;                                // of the output
  long in_row = 0, in_step = 0, out_row = 0, out_step = 0;  // offsets between neighbouring output pixels
  long out_first = 0;                                       // offset of output pixel (0, 0)
  std::vector<int> columns;                                 // numbers of pixels that are computed together along a row

  // The taps of a channel are some of the kernel's rows, and in each row the same columns. `places` lists them.
  std::vector<int> places;
  int kernel_rows = 0, kernel_columns = 0;

  // At the upper and lower edge some rows of a kernel lie on zeros. The sweep skips them: on small images, and with the
  // wide borders of gradients, this saves up to half of the work.
  struct Seen {
    int first, count;  // rows of the kernel, in the order of the taps
  };
  std::vector<Seen> seen;  // [output row]; empty if no row is skipped

  // For blocks of one channel: the first taps of the kernel's rows, and the way through the image.
  using SlideAll = void (*)(const Sweep&, const Block&, const float* in, float* out);
  SlideAll slide_all = nullptr;

  void cut_columns() {
    int channels = 1;
    for (const Block& block : blocks) channels = std::max(channels, block.count);
    columns = cut(width, pixels_beside(channels));
    if (channels == 1 && width > 0) list_rows();
  }

  // The taps of pixel (0, 0) are offsets from `in`.
  void run(const float* in, float* out) const {
    if (slide_all)
      for (const Block& block : blocks) slide_all(*this, block, in, out + block.channels[0]);
    else
      convolve_all(in, out);
  }

  // The rows of the kernel that output row `y` sees.
  Seen seen_by(int y) const { return seen.empty() ? Seen{0, kernel_rows} : seen[y]; }

  // Blocks with other taps read other channels: they come one after the other, so that their channels stay in the
  // first-level cache.
  void convolve_all(const float* in, float* out) const {
    for (size_t first = 0; first < blocks.size(); first += together)
      for (int y = 0; y < height; ++y) {
        const bool whole = seen.empty() || seen[y].count == kernel_rows;
        const int left_out = whole ? 0 : seen[y].first * kernel_columns;
        long x = 0;
        for (const int pixels : columns) {
          for (size_t b = first; b < first + together; ++b) {
            const Block& block = blocks[b];
            const int all = int(block.taps.size()), area = kernel_rows * kernel_columns;
            const Taps taps =
                whole ? Taps{block.taps.data(), all, 1, 0}
                      : Taps{block.taps.data() + left_out, seen[y].count * kernel_columns, all / area, area};
            convolve_for(block.count, pixels)(
                in + y * in_row + x * in_step, in_step, taps, block.weights.data() + left_out * block.count,
                block.bias.empty() ? nullptr : block.bias.data(), out + out_first + y * out_row + x * out_step,
                out_step, block.channels.data());
          }
          x += pixels;
        }
      }
  }

  // The whole image in pieces of PIXELS pixels of a row. Where they do not divide the row, the last piece overlaps the
  // one before it, and computes the same numbers again.
  template <int COLUMNS, int BETWEEN, int STEP, int PIXELS>
  static void slide_pieces(const Sweep& sweep, const Block& block, const float* in, float* out) {
    const int channels = int(block.rows.size()) / sweep.kernel_rows;
    const float bias = block.bias.empty() ? 0.0f : block.bias[0];
    for (int y = 0; y < sweep.height; ++y) {
      const Seen seen = sweep.seen_by(y);
      const Taps rows{block.rows.data() + seen.first, seen.count, channels, sweep.kernel_rows};
      const float* weights = block.weights.data() + seen.first * COLUMNS;
      for (int x = 0; x < sweep.width; x += PIXELS) {
        const int first = std::min(x, sweep.width - PIXELS);
        slide<COLUMNS, BETWEEN, STEP, PIXELS>(in + y * sweep.in_row + first * sweep.in_step, rows, weights, bias,
                                              out + sweep.out_first + y * sweep.out_row + first * sweep.out_step,
                                              sweep.out_step);
      }
    }
  }

  template <int BETWEEN, int STEP, int... I>
  static SlideAll slide_with(int columns, int pixels, std::integer_sequence<int, I...>) {
    constexpr SlideAll all[] = {slide_pieces<I / MAX_ALONE + 1, BETWEEN, STEP, I % MAX_ALONE + 1>...};
    return all[(columns - 1) * MAX_ALONE + pixels - 1];
  }

  void list_rows() {
    constexpr int WIDEST = 5;
    if (kernel_columns < 1 || kernel_columns > WIDEST) return;
    for (Block& block : blocks)
      for (size_t t = 0; t < block.taps.size(); t += kernel_columns) block.rows.push_back(block.taps[t]);
    const int between = kernel_columns > 1 ? (blocks[0].taps[1] - blocks[0].taps[0]) / LANES : 1;
    const int pieces = (width + MAX_ALONE - 1) / MAX_ALONE, pixels = (width + pieces - 1) / pieces;
    constexpr std::make_integer_sequence<int, WIDEST * MAX_ALONE> all;
    if (between == 1 && in_step == LANES) slide_all = slide_with<1, 1>(kernel_columns, pixels, all);
    if (between == -1 && in_step == LANES) slide_all = slide_with<-1, 1>(kernel_columns, pixels, all);
    if (between == 1 && in_step == 2 * LANES) slide_all = slide_with<1, 2>(kernel_columns, pixels, all);
  }

  // row(y, k) is the stored row on which row k of the kernel lies, for row y of the output.
  template <class Row>
  void leave_out_zeros(const Layout& from, Row row) {
    const int top = from.border, bottom = top + from.height - 1;
    for (int y = 0; y < height; ++y) {
      int first = kernel_rows, end = 0;
      for (int k = 0; k < kernel_rows; ++k)
        if (row(y, k) >= top && row(y, k) <= bottom) first = std::min(first, k), end = k + 1;
      seen.push_back({end ? first : 0, end ? end - first : 0});
    }
  }
};

}  // namespace drilldown
