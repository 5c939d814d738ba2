// A vector register holds the same number (one pixel of one channel) of LANES samples. The whole engine is built on
// this.
//
// The vector extensions of GCC and Clang turn the arithmetic of V into the instructions of any processor. The engine
// uses no intrinsics.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace drilldown {

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

// may_alias: the engine reads and writes arrays of float as vectors.
typedef float V __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Integers __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES), may_alias));

inline V load(const float* from) { return *reinterpret_cast<const V*>(from); }
inline void store(float* to, V value) { *reinterpret_cast<V*>(to) = value; }

// Loads a value into a register once. A compiler takes an operand in memory to be free, and reads a value three times
// if it is used three times. But a processor that multiplies twice in a cycle can read only twice in it.
inline V fetch(const float* from) {
  V value = load(from);
#if defined(__x86_64__)
  asm("" : "+v"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

// Names each lane: V{} + value would be an addition, which occupies the units that multiply.
template <int... I>
inline V splat(float value, std::integer_sequence<int, I...>) {
  return V{((void)I, value)...};
}
inline V splat(float value) { return splat(value, std::make_integer_sequence<int, LANES>{}); }

inline float add_lanes(V value) {
  float lanes[LANES];
  std::memcpy(lanes, &value, sizeof lanes);
  for (int width = 1; width < LANES; width *= 2)  // neighbours first, as in `add_lanes_of`
    for (int i = 0; i < LANES; i += 2 * width) lanes[i] += lanes[i + width];
  return lanes[0];
}

// Cuts a and b into units of UNIT lanes, and puts their even or their odd units side by side, alternately of a and b.
template <int UNIT, bool ODD, int... I>
inline V interleave(V a, V b, std::integer_sequence<int, I...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, (I / UNIT % 2 * LANES + (I / UNIT / 2 * 2 + ODD) * UNIT + I % UNIT)...);
#else
  return __builtin_shuffle(a, b, Integers{(I / UNIT % 2 * LANES + (I / UNIT / 2 * 2 + ODD) * UNIT + I % UNIT)...});
#endif
}

// Adds the lanes of LANES vectors at once, in a fifth of the time. Lane i of vectors[0] becomes the sum of vectors[i].
template <int UNIT = 1>
inline void add_lanes_of(V* vectors) {
  if constexpr (UNIT < LANES) {
    constexpr std::make_integer_sequence<int, LANES> all;
    for (int i = 0; i < LANES / UNIT / 2; ++i)
      vectors[i] = interleave<UNIT, false>(vectors[2 * i], vectors[2 * i + 1], all) +
                   interleave<UNIT, true>(vectors[2 * i], vectors[2 * i + 1], all);
    add_lanes_of<2 * UNIT>(vectors);
  }
}

// max(0, v). NaN stays NaN, as in PyTorch, because a diverged training must not look healthy.
inline V relu(V value) { return value < 0.0f ? V{} : value; }

}  // namespace drilldown
