// The step of the optimizer, as PyTorch makes it, and the average of the weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace drilldown {

// The memory of the caller that training changes. `squares` is null without Adam; `average` and `average_running` are
// null without averaging.
struct State {
  float *weights, *gradients, *momentum, *squares, *average;  // [parameters]
  float *running, *average_running;                           // [buffers]
};

struct Recipe {
  enum Optimizer : int32_t { SGD, NESTEROV, ADAM, ADAMW };
  int32_t batch, optimizer;
  double momentum, squares;  // what a step keeps of the momentum, and of the mean of the squared gradient
  double epsilon;            // Adam adds it to the denominator
  double weight_decay, l1;   // the penalties: half the squares of the weights, and their absolute values
  double smoothing;
  double average;  // decay of the average of the weights
};

// A stretch of the parameters, or of the buffers.
struct Stretch {
  int first, count;
};

// Stochastic gradient descent: the gradient contains the decay, and the first momentum is the gradient.
inline void step_sgd(const Recipe& recipe, const State& state, Stretch part, double rate) {
  const float lr = float(rate), momentum = float(recipe.momentum), decay = float(recipe.weight_decay);
  const bool nesterov = recipe.optimizer == Recipe::NESTEROV;
  for (int i = part.first; i < part.first + part.count; ++i) {
    const float gradient = state.gradients[i] + decay * state.weights[i];
    const float velocity = state.momentum[i] = momentum * state.momentum[i] + gradient;
    state.weights[i] -= lr * (nesterov ? gradient + momentum * velocity : velocity);
  }
}

// Adam (Kingma and Ba, 2015), whose gradient contains the decay, or AdamW (Loshchilov and Hutter, 2019), whose decay
// shrinks the weights before the step. `step` counts from 1.
inline void step_adam(const Recipe& recipe, const State& state, Stretch part, double rate, int64_t step) {
  const bool decoupled = recipe.optimizer == Recipe::ADAMW;
  const float decay = decoupled ? 0.0f : float(recipe.weight_decay);
  const float kept = decoupled ? float(1 - rate * recipe.weight_decay) : 1.0f;
  const float approach = float(1 - recipe.momentum), keep = float(recipe.squares), add = float(1 - recipe.squares);
  // Both means begin at zero. The corrections make up for the part of them that is still that zero.
  const float size = float(rate / (1 - std::pow(recipe.momentum, double(step))));
  const float root = float(1 / std::sqrt(1 - std::pow(recipe.squares, double(step))));
  const float epsilon = float(recipe.epsilon);
  for (int i = part.first; i < part.first + part.count; ++i) {
    const float weight = kept * state.weights[i], gradient = state.gradients[i] + decay * weight;
    const float mean = state.momentum[i] += approach * (gradient - state.momentum[i]);
    const float square = state.squares[i] = keep * state.squares[i] + add * gradient * gradient;
    state.weights[i] = weight - size * mean / (std::sqrt(square) * root + epsilon);
  }
}

// Changes the weights by their gradients.
inline void make_step(const Recipe& recipe, const State& state, Stretch part, double rate, int64_t step) {
  if (recipe.l1 > 0)
    for (int i = part.first; i < part.first + part.count; ++i)
      state.gradients[i] += float(recipe.l1) * float((state.weights[i] > 0) - (state.weights[i] < 0));
  if (recipe.optimizer == Recipe::ADAM || recipe.optimizer == Recipe::ADAMW)
    step_adam(recipe, state, part, rate, step);
  else
    step_sgd(recipe, state, part, rate);
}

// Moves the averages towards the weights and the running statistics.
inline void average(const Recipe& recipe, const State& state, Stretch weights, Stretch buffers, int64_t step) {
  const double kept = std::min(recipe.average, double(1 + step) / double(10 + step));
  const auto approach = [&](float* average, const float* value, Stretch part) {
    for (int i = part.first; i < part.first + part.count; ++i) average[i] += float(1 - kept) * (value[i] - average[i]);
  };
  approach(state.average, state.weights, weights);
  approach(state.average_running, state.running, buffers);
}

}  // namespace drilldown
