// The functions that follow a norm or stand alone, for LANES numbers at once. `undo` gives the gradient of x from that
// of the value at x.
#pragma once

#include "lanes.hpp"

namespace drilldown {

inline V clamp(V value, float least, float most) {  // NaN stays NaN
  value = value < least ? splat(least) : value;
  return value > most ? splat(most) : value;
}

// e^x, to about two units in the last place, for x in −87…88; beyond, its value there.
//
// e^x = 2^n · e^r with |r| ≤ ln(2)/2. A Taylor polynomial gives e^r, the exponent's bits give 2^n.
inline V exponential(V x) {
  x = clamp(x, -87.0f, 88.0f);
  const V rounding = splat(12582912.0f);  // 1.5 · 2^23: an addition leaves no room for digits behind the point
  const V n = (x * splat(1.44269504f) + rounding) - rounding;
  const V r = (x - n * splat(0.693359375f)) + n * splat(2.12194440e-4f);  // ln(2) in two parts, the first one short
  V series = splat(1.0f / 5040);
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    series = series * r + splat(factor);
  const Integers power = (__builtin_convertvector(n, Integers) + 127) << 23;
  return series * reinterpret_cast<const V&>(power);
}

inline V sigmoid(V x) { return splat(1.0f) / (splat(1.0f) + exponential(-x)); }

struct Identity {
  V value(V x) const { return x; }
  V undo(V gradient, V) const { return gradient; }
};

struct Relu {
  V value(V x) const { return relu(x); }
  V undo(V gradient, V x) const { return x > 0.0f ? gradient : V{}; }
};

struct Leaky {
  float slope;
  V value(V x) const { return x > 0.0f ? x : x * slope; }
  V undo(V gradient, V x) const { return x > 0.0f ? gradient : gradient * slope; }
};

struct Silu {
  V value(V x) const { return x * sigmoid(x); }
  V undo(V gradient, V x) const {
    const V share = sigmoid(x);
    return gradient * (share * (1.0f + x * (1.0f - share)));
  }
};

// x · Φ(x), where Φ is the normal distribution.
struct Gelu {
  V value(V x) const { return x * below(x, bell(x)); }
  V undo(V gradient, V x) const {
    const V height = bell(x);
    return gradient * (below(x, height) + x * height * 0.39894228f);  // 1/√(2π)
  }

 private:
  static V bell(V x) { return exponential(x * x * -0.5f); }

  // Φ(x), with an error below 1e-7 (Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 7.1.26).
  static V below(V x, V height) {
    const V size = x < 0.0f ? -x : x;
    const V t = splat(1.0f) / (1.0f + size * (0.3275911f * 0.70710678f));
    V series = splat(1.061405429f);
    for (const float factor : {-1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f})
      series = series * t + splat(factor);
    const V above = series * t * height * 0.5f;
    return x < 0.0f ? above : 1.0f - above;
  }
};

struct HardSwish {
  V value(V x) const { return x * clamp(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6); }
  V undo(V gradient, V x) const {
    const V inside = x * (1.0f / 3) + 0.5f;
    return gradient * (x < -3.0f ? V{} : x <= 3.0f ? inside : splat(1.0f));
  }
};

}  // namespace drilldown
