// Random bits that depend only on the epoch, the layer and the sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lanes.hpp"

namespace drilldown {

// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a hash of a counter.
inline uint64_t spread(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// One xorshift generator (Marsaglia, 2003: 13, 17, 5) per lane. The position of its sample in the epoch seeds it.
class Noise {
 public:
  Noise(uint64_t epoch, int layer, int64_t position) {
    for (int lane = 0; lane < LANES; ++lane) {
      const uint32_t seed = uint32_t(spread(spread(epoch + uint64_t(layer)) + uint64_t(position + lane)) >> 32);
      state[lane] = seed ? seed : 1;
    }
  }

  Bits next() {
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
  }

 private:
  Bits state{};
};

// What dropout multiplies the values by that it keeps.
inline float dropout_scale(double probability) { return float(1 / (1 - probability)); }

// Random bits below this number mean that dropout takes a value out.
inline uint32_t drop_threshold(double probability) {
  return uint32_t(std::min(std::round(probability * 0x1p32), 0x1p32 - 1));
}

}  // namespace drilldown
