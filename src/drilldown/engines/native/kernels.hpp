// The two inner loops in which nearly all time is spent. Both keep a block of sums in registers while they run through
// `taps`: the (channel, row, column) offsets of a kernel's weights, as a plain list. Kernel size, padding, stride and
// groups are all in the lists, so there is one kernel for every convolution, forward and backward, and for linear layers.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "lanes.hpp"

// A block's sums stay in registers only if its loops are unrolled before anything else is decided.
#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif

// CHANNELS × WIDTH sums, the fewer of their operands and one of the others have to fit into the registers.
constexpr int SUMS = REGISTERS >= 32 ? 25 : 12;
constexpr int MAX_CHANNELS = REGISTERS >= 32 ? 5 : 4;
constexpr int MAX_WIDTH = REGISTERS >= 32 ? 6 : 4;

// sums[c][w] += left(c) · right(w) for all c and w, with each operand fetched once: the fewer of them stay in registers,
// the others come by one at a time.
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

// Offsets in floats that a sum runs through: `times` stretches of `count`, which begin `apart` from each other.
struct Taps {
  const int* offsets;
  int count, times, apart;
};

// out[channel][pixel] = bias[channel] + Σ over taps of weights[tap][channel] · in[tap + pixel]
//
//   in       first pixel; pixel p lies `in_step`·p floats on
//   weights  [tap][CHANNELS], as if `taps` left nothing out
//   bias     [CHANNELS], or null
//   out      first pixel; pixel p lies `out_step`·p floats on, channel c `channels[c]` floats on
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
  UNROLLED for (int c = 0; c < CHANNELS; ++c)
    UNROLLED for (int p = 0; p < PIXELS; ++p) store(out + channels[c] + p * out_step, sums[c][p]);
}

// sums[tap][channel] += Σ over a rectangle of pixels of in[tap + pixel] · gradient[channel + pixel], lane by lane
//
//   in, gradient  first pixel of each; pixels lie `_step` floats apart, rows `_row`
//   sums          vectors [TAPS][`stride` of which the first CHANNELS are this block's]
template <int CHANNELS, int TAPS>
void correlate(const float* in, long in_step, long in_row, const int* taps, const float* gradient, long step, long row,
               const int* channels, int height, int width, float* sums, long stride) {
  V block[CHANNELS][TAPS];
  UNROLLED for (int t = 0; t < TAPS; ++t)
    UNROLLED for (int c = 0; c < CHANNELS; ++c) block[c][t] = load(sums + (t * stride + c) * LANES);
  for (int y = 0; y < height; ++y) {
    const float *a[TAPS], *g[CHANNELS];
    UNROLLED for (int t = 0; t < TAPS; ++t) a[t] = in + y * in_row + taps[t];
    UNROLLED for (int c = 0; c < CHANNELS; ++c) g[c] = gradient + y * row + channels[c];
    for (long x = 0, i = 0, j = 0; x < width; ++x, i += in_step, j += step)
      multiply_add(block, [&](int c) { return fetch(g[c] + j); }, [&](int t) { return fetch(a[t] + i); });
  }
  UNROLLED for (int t = 0; t < TAPS; ++t)
    UNROLLED for (int c = 0; c < CHANNELS; ++c) store(sums + (t * stride + c) * LANES, block[c][t]);
}

using Convolve = decltype(&convolve<1, 1>);
using Correlate = decltype(&correlate<1, 1>);

// The instances for a block of so many channels and pixels or taps (from 1); blocks are cut once, with the network.
namespace instances {
template <int... I>
constexpr std::array<Convolve, sizeof...(I)> convolve_table(std::integer_sequence<int, I...>) {
  return {{convolve<I / MAX_WIDTH + 1, I % MAX_WIDTH + 1>...}};
}
template <int... I>
constexpr std::array<Correlate, sizeof...(I)> correlate_table(std::integer_sequence<int, I...>) {
  return {{correlate<I / MAX_WIDTH + 1, I % MAX_WIDTH + 1>...}};
}
using All = std::make_integer_sequence<int, MAX_CHANNELS * MAX_WIDTH>;
constexpr auto convolutions = convolve_table(All{});
constexpr auto correlations = correlate_table(All{});
}  // namespace instances

inline Convolve convolve_for(int channels, int pixels) {
  return instances::convolutions[(channels - 1) * MAX_WIDTH + pixels - 1];
}
inline Correlate correlate_for(int channels, int taps) {
  return instances::correlations[(channels - 1) * MAX_WIDTH + taps - 1];
}

// Pixels or taps that go into a block beside so many channels.
inline int width_beside(int channels) { return std::min(MAX_WIDTH, SUMS / channels); }
