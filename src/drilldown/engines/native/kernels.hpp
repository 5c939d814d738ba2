// The inner loops, which take nearly all of the time: two, and a third for channels that are computed alone. They hold
// a block of sums in registers while they read a plain list, `taps`: the (channel, row, column) offsets of the weights.
// The list contains kernel size, padding, stride and groups. So the same loops serve every convolution, forward and
// backward, and linear layers.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "lanes.hpp"

namespace drilldown {

// The sums of a block stay in registers only if the compiler unrolls its loops first.
#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 32")
#endif

// A block has CHANNELS × WIDTH sums. The registers must hold these sums, the smaller set of operands (CHANNELS or
// WIDTH), and one operand of the other set.
constexpr int SUMS = REGISTERS >= 32 ? 25 : 12;
constexpr int MAX_CHANNELS = REGISTERS >= 32 ? 5 : 4;
constexpr int MAX_WIDTH = REGISTERS >= 32 ? 6 : 4;
// A channel alone (depthwise convolutions) has more sums: a unit that multiplies begins one in each cycle, and ends it
// four cycles later.
constexpr int MAX_ALONE = REGISTERS >= 32 ? 16 : 12;

// Adds left(c) · right(w) to sums[c][w] for all c and w, and fetches each operand once. It holds the smaller
// set of operands in registers and fetches the others one at a time.
template <int CHANNELS, int WIDTH, class Left, class Right>
inline void multiply_add(V (&sums)[CHANNELS][WIDTH], Left left, Right right) {
  if constexpr (WIDTH <= CHANNELS) {
    V held[WIDTH];
    UNROLLED for (int w = 0; w < WIDTH; ++w) held[w] = right(w);
    UNROLLED for (int c = 0; c < CHANNELS; ++c) {
      const V one = left(c);
      UNROLLED for (int w = 0; w < WIDTH; ++w) sums[c][w] += one * held[w];
    }
  } else {
    V held[CHANNELS];
    UNROLLED for (int c = 0; c < CHANNELS; ++c) held[c] = left(c);
    UNROLLED for (int w = 0; w < WIDTH; ++w) {
      const V one = right(w);
      UNROLLED for (int c = 0; c < CHANNELS; ++c) sums[c][w] += one * held[c];
    }
  }
}

// The offsets, in floats, of the terms of a sum: `times` stretches of `count` offsets. A stretch starts `apart` entries
// behind the start of the one before it.
struct Taps {
  const int* offsets;
  int count, times, apart;
};

// out[channel][pixel] = bias[channel] + Σ over taps of weights[tap][channel] · in[tap + pixel]
//
//   in       the first pixel; pixel p is at in + in_step · p
//   weights  [tap][CHANNELS], including the taps that `taps` leaves out
//   bias     [CHANNELS], or null
//   out      the first pixel; pixel p of channel c is at out + out_step · p + channels[c]
template <int CHANNELS, int PIXELS>
void convolve(const float* in, long in_step, const Taps& taps, const float* weights, const float* bias, float* out,
              long out_step, const int* channels) {
  V sums[CHANNELS][PIXELS];
  UNROLLED for (int c = 0; c < CHANNELS; ++c) {
    const V start = bias ? splat(bias[c]) : V{};
    UNROLLED for (int p = 0; p < PIXELS; ++p) sums[c][p] = start;
  }
  for (int s = 0; s < taps.times; ++s) {
    const int* offsets = taps.offsets + s * taps.apart;
    const float* w = weights + s * taps.apart * CHANNELS;
    for (int t = 0; t < taps.count; ++t, w += CHANNELS) {
      const float* from = in + offsets[t];
      multiply_add(sums, [&](int c) { return splat(w[c]); }, [&](int p) { return fetch(from + p * in_step); });
    }
  }
  UNROLLED for (int c = 0; c < CHANNELS; ++c) {
    UNROLLED for (int p = 0; p < PIXELS; ++p) store(out + channels[c] + p * out_step, sums[c][p]);
  }
}

// sums[tap][channel] += Σ over a rectangle of pixels of in[tap + pixel] · gradient[channel + pixel], lane by lane
//
//   in, gradient  the first pixel of each; the next pixel is `in_step` or `step` floats away, the next row `in_row` or
//                 `row`
//   sums          vectors [TAPS][stride]; the first CHANNELS of each `stride` belong to this block
template <int CHANNELS, int TAPS>
void correlate(const float* in, long in_step, long in_row, const int* taps, const float* gradient, long step, long row,
               const int* channels, int height, int width, float* sums, long stride) {
  V block[CHANNELS][TAPS];
  UNROLLED for (int t = 0; t < TAPS; ++t) {
    UNROLLED for (int c = 0; c < CHANNELS; ++c) block[c][t] = load(sums + (t * stride + c) * LANES);
  }
  for (int y = 0; y < height; ++y) {
    const float *a[TAPS], *g[CHANNELS];
    UNROLLED for (int t = 0; t < TAPS; ++t) a[t] = in + y * in_row + taps[t];
    UNROLLED for (int c = 0; c < CHANNELS; ++c) g[c] = gradient + y * row + channels[c];
    for (long x = 0, i = 0, j = 0; x < width; ++x, i += in_step, j += step)
      multiply_add(block, [&](int c) { return fetch(g[c] + j); }, [&](int t) { return fetch(a[t] + i); });
  }
  UNROLLED for (int t = 0; t < TAPS; ++t) {
    UNROLLED for (int c = 0; c < CHANNELS; ++c) store(sums + (t * stride + c) * LANES, block[c][t]);
  }
}

// `convolve` for one channel. A tap of `taps` stands for COLUMNS of them, a row of the kernel, which are BETWEEN pixels
// apart; the pixels of the output are STEP pixels of the input apart. All these numbers are constants, because one
// register for each offset would be too many.
//
//   weights  [row][COLUMNS], including the rows that `taps` leaves out
template <int COLUMNS, int BETWEEN, int STEP, int PIXELS>
inline void slide(const float* in, const Taps& taps, const float* weights, float bias, float* out, long out_step) {
  V sums[PIXELS];
  UNROLLED for (int p = 0; p < PIXELS; ++p) sums[p] = splat(bias);
  for (int s = 0; s < taps.times; ++s) {
    const int* rows = taps.offsets + s * taps.apart;
    const float* w = weights + s * taps.apart * COLUMNS;
    for (int r = 0; r < taps.count; ++r, w += COLUMNS) {
      const float* from = in + rows[r];
      UNROLLED for (int c = 0; c < COLUMNS; ++c) {
        const V weight = splat(w[c]);
        UNROLLED for (int p = 0; p < PIXELS; ++p) sums[p] += weight * load(from + (c * BETWEEN + p * STEP) * LANES);
      }
    }
  }
  UNROLLED for (int p = 0; p < PIXELS; ++p) store(out + p * out_step, sums[p]);
}

using Convolve = decltype(&convolve<1, 1>);
using Correlate = decltype(&correlate<1, 1>);

// The kernels for each size of a block, from 1 channel and 1 pixel or tap. The network cuts its blocks once.
namespace instances {
template <int... I>
constexpr std::array<Convolve, sizeof...(I)> convolve_table(std::integer_sequence<int, I...>) {
  return {{convolve<I / MAX_WIDTH + 1, I % MAX_WIDTH + 1>...}};
}
template <int... I>
constexpr std::array<Correlate, sizeof...(I)> correlate_table(std::integer_sequence<int, I...>) {
  return {{correlate<I / MAX_WIDTH + 1, I % MAX_WIDTH + 1>...}};
}
template <int... I>
constexpr std::array<Correlate, sizeof...(I)> correlate_alone(std::integer_sequence<int, I...>) {
  return {{correlate<1, I + 1>...}};
}
using All = std::make_integer_sequence<int, MAX_CHANNELS * MAX_WIDTH>;
using Alone = std::make_integer_sequence<int, MAX_ALONE>;
constexpr auto convolutions = convolve_table(All{});
constexpr auto correlations = correlate_table(All{});
constexpr auto correlations_alone = correlate_alone(Alone{});
}  // namespace instances

inline Convolve convolve_for(int channels, int pixels) {
  return instances::convolutions[(channels - 1) * MAX_WIDTH + pixels - 1];
}
inline Correlate correlate_for(int channels, int taps) {
  if (channels == 1) return instances::correlations_alone[taps - 1];
  return instances::correlations[(channels - 1) * MAX_WIDTH + taps - 1];
}

// How many pixels, or taps, a block of `channels` channels has.
inline int pixels_beside(int channels) { return std::min(MAX_WIDTH, SUMS / channels); }
inline int taps_beside(int channels) { return channels == 1 ? MAX_ALONE : pixels_beside(channels); }

}  // namespace drilldown
