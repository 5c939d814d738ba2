// The cross-entropy of the scores of a tile, and its gradient.
#pragma once

#include <cmath>
#include <cstdint>

#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

struct Result {
  double loss = 0;  // summed over samples
  int64_t correct = 0;
};

// The first of the largest scores.
inline int answer(const Layout& layout, const float* scores, int lane) {
  int best = 0;
  for (int c = 1; c < layout.channels; ++c)
    if (scores[layout.at(c, 0, 0) + lane] > scores[layout.at(best, 0, 0) + lane]) best = c;
  return best;
}

// scores       [classes][1][1][LANES]
// labels       one per sample of the tile
// targets      [samples][classes], the probability of each class; null: 1 for the label, 0 for the others
// smoothing ε  the target is (1 − ε)·probability + ε/classes
// batch        the loss is the mean over this number of samples
// gradients    the gradient of that mean with respect to the scores; zero in lanes without a sample
inline Result cross_entropy(const Tile& tile, const Layout& layout, const float* scores, const int64_t* labels,
                            const float* targets, double smoothing, int batch, const Layout& gradients_layout,
                            float* gradients) {
  Result result;
  const int classes = layout.channels;
  for (int c = 0; c < classes; ++c) store(gradients + gradients_layout.at(c, 0, 0), V{});
  for (int lane = 0; lane < tile.samples; ++lane) {
    const auto score = [&](int c) { return double(scores[layout.at(c, 0, 0) + lane]); };
    const int best = answer(layout, scores, lane);
    double total = 0, sum = 0;
    for (int c = 0; c < classes; ++c) total += std::exp(score(c) - score(best)), sum += score(c);
    const double log_total = std::log(total) + score(best);
    const int64_t label = labels[lane];
    const float* shares = targets ? targets + lane * classes : nullptr;
    double mean = shares ? 0 : score(int(label));  // by the probabilities
    for (int c = 0; shares && c < classes; ++c) mean += shares[c] * score(c);
    result.loss += log_total - (1 - smoothing) * mean - smoothing / classes * sum;
    result.correct += best == label;
    for (int c = 0; c < classes; ++c) {
      const double probability = shares ? double(shares[c]) : double(c == label);
      const double target = (1 - smoothing) * probability + smoothing / classes;
      gradients[gradients_layout.at(c, 0, 0) + lane] = float((std::exp(score(c) - log_total) - target) / batch);
    }
  }
  return result;
}

}  // namespace drilldown
