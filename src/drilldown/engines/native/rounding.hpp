// Weights with few bits, as src/drilldown/network/rounding.py rounds them, to the last bit.
#pragma once

#include <algorithm>
#include <cmath>

namespace drilldown {

struct Rounding {
  int bits;       // of a weight, with its sign; 0: weights are not rounded
  bool one_step;  // whether all output channels have the same step
};

// Makes each weight the nearest whole number of steps, of a half the even one. The largest weight of an output channel,
// or of all, is the largest whole number. Both arrays are [channels][each].
inline void round_weights(Rounding rounding, const float* from, float* to, int channels, int each) {
  const int some = rounding.one_step ? channels * each : each;
  const float most = float((1 << (rounding.bits - 1)) - 1);
  for (const float* end = from + channels * each; from < end; from += some, to += some) {
    float largest = 0;
    for (int i = 0; i < some; ++i) largest = std::max(largest, std::fabs(from[i]));
    const float step = largest > 0 ? largest / most : 1.0f;
    for (int i = 0; i < some; ++i) to[i] = std::nearbyint(from[i] / step) * step;
  }
}

}  // namespace drilldown
