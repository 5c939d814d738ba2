// One vector register holds the same number of as many samples: the whole engine is built on this.
//
// The compiler's vector extensions (GCC, Clang) turn V's arithmetic into the processor's own instructions, whichever
// processor it is. Nothing here or elsewhere names an intrinsic.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr int LANES = 16, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int LANES = 4, REGISTERS = 32;
#else
constexpr int LANES = 4, REGISTERS = 16;
#endif

// may_alias: buffers are float arrays, and are read and written as vectors.
typedef float V __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Integers __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES), may_alias));

inline V load(const float* from) { return *reinterpret_cast<const V*>(from); }
inline void store(float* to, V value) { *reinterpret_cast<V*>(to) = value; }
inline V splat(float value) { return V{} + value; }

inline float add_lanes(V value) {
  // Halves onto halves: the same order on every machine with as many lanes, and shorter than one after the other.
  float lanes[LANES];
  std::memcpy(lanes, &value, sizeof lanes);
  for (int width = LANES / 2; width; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
}

// max(0, v), but NaN stays NaN, as in PyTorch: a diverged training must not look healthy.
inline V relu(V value) { return value < 0.0f ? V{} : value; }
