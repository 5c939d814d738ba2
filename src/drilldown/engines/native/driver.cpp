// A program with the whole engine, which `make sanitize` compiles with sanitizers.
//
// It trains usual and odd networks, with batches around the number of lanes and a partial batch at the end, with images
// that are warped out of sight, an epoch in one call or step by step, and with one to three threads. It prints a line
// for each case. It exits with 1 if a loss is not a finite number, or if a bit depends on the threads or the calls.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "images.hpp"
#include "layout.hpp"
#include "network.hpp"
#include "optimizer.hpp"
#include "team.hpp"
#include "trainer.hpp"

using namespace drilldown;

namespace {

constexpr int IMAGES = 37, EPOCHS = 2;
constexpr int BATCHES[] = {1, 15, 16, 17, 33};

constexpr int BEFORE = -2;  // in the place of an input: the entry before

Spec spec(Spec::Kind kind, double number = 0) {
  Spec made{};
  made.kind = kind, made.number = number, made.scaled = 1, made.input = BEFORE, made.other = made.shares = -1;
  return made;
}
Spec conv(int out, int kernel, int stride = 1, int pad = 0, int groups = 1, int bias = 0, int dilation = 1) {
  Spec made = spec(Spec::CONV);
  made.out = out, made.kernel = kernel, made.stride = stride, made.pad = pad, made.groups = groups, made.bias = bias;
  made.dilation = dilation;
  return made;
}
Spec linear(int out) {
  Spec made = spec(Spec::LINEAR);
  made.out = out;
  return made;
}
Spec pool(Spec::Kind kind, int size, int stride, int pad) {
  Spec made = spec(kind);
  made.kernel = size, made.stride = stride, made.pad = pad;
  return made;
}
Spec max_pool(int size) { return pool(Spec::MAX_POOL, size, size, 0); }
Spec average_pool(int size) { return pool(Spec::AVERAGE_POOL, size, size, 0); }
Spec dropout(double probability) { return spec(Spec::DROPOUT, probability); }
Spec without_scale() {
  Spec made = spec(Spec::NORM);
  made.scaled = 0;
  return made;
}
Spec sum(int input, int other) {
  Spec made = spec(Spec::SUM);
  made.input = input, made.other = other;
  return made;
}
Spec reading(int input, Spec made) {
  made.input = input;
  return made;
}
Spec sharing(int entry, Spec made) {
  made.shares = entry;
  return made;
}
Spec rounded(int bits, Spec made, int one_step = 0) {
  made.bits = bits, made.one_step = one_step;
  return made;
}
const Spec norm = spec(Spec::NORM), relu_ = spec(Spec::RELU), gap = spec(Spec::GLOBAL_AVERAGE),
           flatten = spec(Spec::FLATTEN), prelu = spec(Spec::PRELU), silu = spec(Spec::SILU), gelu = spec(Spec::GELU),
           hard_swish = spec(Spec::HARD_SWISH), leaky = spec(Spec::LEAKY, 0.1);

struct Example {
  const char* name;
  int height, width;
  bool single;  // whether a norm has one value per image and channel, and so needs two images
  std::vector<Spec> layers;
};

Example example(const char* name, int height, int width, bool single, std::vector<Spec> layers) {
  for (size_t i = 0; i < layers.size(); ++i)
    if (layers[i].input == BEFORE) layers[i].input = int(i) - 1;
  return {name, height, width, single, std::move(layers)};
}

const std::vector<Example> EXAMPLES = {
    example("usual", 12, 12, false,
            {conv(6, 3), norm, relu_, dropout(0.1), max_pool(2), conv(8, 3, 1, 1), norm, relu_, conv(4, 1), gap}),
    example("usual, strided, linear head", 13, 12, false,
            {conv(4, 5, 2, 2), norm, relu_, dropout(0.5), conv(9, 3), norm, relu_, gap, linear(10)}),
    example("relu before the norm", 9, 10, false,
            {conv(7, 3, 1, 1), relu_, norm, dropout(0.2), average_pool(2), conv(4, 3), relu_, norm, relu_, flatten,
             linear(5)}),
    example("one pixel", 1, 1, true, {conv(3, 1, 1, 0, 1, 1), norm, relu_, linear(3)}),
    example("one pixel, linear", 1, 1, false, {linear(2)}),
    example("strides, pads, groups", 11, 9, false,
            {conv(6, 3, 2, 2), relu_, conv(9, 3, 3, 1, 3, 1), relu_, max_pool(2), linear(4)}),
    example("a channel a group", 6, 7, false, {conv(19, 3), norm, relu_, conv(19, 3, 1, 2, 19), relu_, gap, linear(7)}),
    example("pools with a remainder", 11, 10, false,
            {conv(5, 3), max_pool(2), relu_, conv(5, 1), average_pool(3), linear(4)}),
    example("pools before any weight", 9, 9, false, {max_pool(1), max_pool(2), average_pool(3), flatten, linear(4)}),
    example("norm first and again", 8, 8, false,
            {norm, norm, conv(4, 3), relu_, relu_, norm, flatten, dropout(0.3), linear(4)}),
    example("norm of features", 4, 5, true, {dropout(0.9), flatten, norm, relu_, dropout(0.3), linear(4)}),
    example("large kernels, bias, no linear", 9, 9, false,
            {conv(3, 7, 1, 6, 1, 1), norm, relu_, max_pool(5), conv(4, 3, 1, 0, 1, 1), flatten}),
    example("an average and hardly a weight", 28, 28, false, {gap, linear(10)}),
    example("linear only", 6, 5, false, {flatten, linear(10)}),
    example("activations", 8, 9, false,
            {conv(5, 3), silu, gelu, norm, hard_swish, leaky, prelu, spec(Spec::CHANNEL_DROPOUT, 0.4), gap, linear(4)}),
    example("pools that overlap", 9, 8, false,
            {pool(Spec::MAX_POOL, 3, 1, 1), conv(5, 3), pool(Spec::MAX_POOL, 3, 2, 1),
             pool(Spec::AVERAGE_POOL, 3, 1, 1), pool(Spec::AVERAGE_POOL, 2, 3, 1), gap, linear(4)}),
    example("depthwise, dilation, wide pads", 13, 14, false,
            {conv(6, 3, 1, 1), conv(6, 3, 1, 1, 6), without_scale(), relu_, conv(12, 5, 2, 2, 6, 1),
             conv(5, 3, 1, 4, 1, 0, 2), conv(5, 1, 3, 2), conv(5, 3, 2, 5, 5), gap, linear(3)}),
    example("a skip, a skip with a projection, a skip in a skip", 10, 9, false,
            {conv(6, 3), conv(6, 3, 1, 1), norm, relu_, sum(3, 0), conv(8, 3, 2, 1), relu_, reading(4, conv(8, 1, 2)),
             sum(6, 7), conv(8, 3, 1, 1), sum(9, 8), sum(10, 8), norm, gap, linear(4)}),
    example("skips of the images", 7, 7, false,
            {conv(3, 3, 1, 1), sum(0, -1), norm, sum(2, 1), conv(4, 3, 1, 1), reading(3, conv(4, 1)), sum(4, 5), gap}),
    example("weights used three times", 8, 8, false,
            {conv(6, 3), prelu, conv(6, 3, 1, 1, 1, 1), norm, sharing(1, prelu), sharing(2, conv(6, 3, 1, 1, 1, 1)),
             norm, sharing(2, conv(6, 3, 1, 1, 1, 1)), gap, linear(4)}),
    example("rounded weights", 9, 8, false,
            {rounded(8, conv(6, 3, 1, 1, 1, 1)), norm, relu_, rounded(4, conv(6, 3, 2, 1, 6)), rounded(4, conv(5, 1)),
             sharing(4, rounded(4, conv(5, 1, 1, 0, 5))), gap, rounded(4, linear(7)), rounded(8, linear(4), 1)}),
    example("two linear layers", 5, 6, false, {linear(17), relu_, dropout(0.5), linear(3)}),
};

enum Warp { NONE, GENTLE, FAR, BEYOND, WARPS };
const char* const WARP_NAMES[] = {"plain", "warped", "warped far out", "warped beyond all bounds"};

struct Case {
  const Example& example;
  int batch;
  int64_t count;
  Warp warp;
  bool nearest, light;
  Recipe::Optimizer optimizer;
  double smoothing, average;
  int channels;
  bool soft;  // whether it learns probabilities in place of labels
};

// The random numbers of a case.
struct Input {
  std::vector<uint8_t> pixels;
  std::vector<int64_t> rows, labels;
  std::vector<float> targets, inverse, light, weights;
  std::vector<double> rates;

  Input(const Case& c, int parameters, int classes) {
    std::mt19937_64 bits(c.count);
    const auto uniform = [&](double low, double high) { return low + (high - low) * double(bits() >> 11) * 0x1p-53; };
    const int area = c.channels * c.example.height * c.example.width;
    for (int i = 0; i < IMAGES * area; ++i) pixels.push_back(uint8_t(bits()));
    for (int64_t i = 0; i < c.count; ++i) {
      rows.push_back(int64_t(bits() % IMAGES));
      labels.push_back(int64_t(bits() % uint64_t(classes)));
      // Halves, for the label and for the class after it: a sum of 1 without rounding.
      for (int k = 0; k < classes; ++k)
        targets.push_back(0.5f * float((k == labels.back()) + (k == (labels.back() + 1) % classes)));
      for (int k = 0; k < 2; ++k) light.push_back(float(uniform(0.3, 1.7)));
      const double reach = c.warp == GENTLE ? 0.5 : c.warp == FAR ? 50 : i % 2 ? 1e9 : 1e38;
      for (int k = 0; k < 6; ++k) inverse.push_back(float((k == 0 || k == 4) + uniform(-reach, reach)));
    }
    for (int i = 0; i < parameters; ++i) weights.push_back(float(uniform(-0.3, 0.3)));
    for (int64_t i = 0; i < c.count; i += c.batch) rates.push_back(uniform(0.01, 0.05));
  }
};

// The results that must not depend on threads and calls.
struct Outcome {
  std::vector<float> weights, momentum, squares, average, running, average_running, scores;
  std::vector<double> losses;
  std::vector<int64_t> correct;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), sizeof(T) * a.size()));
}

bool operator==(const Outcome& a, const Outcome& b) {
  return same_bits(a.weights, b.weights) && same_bits(a.momentum, b.momentum) && same_bits(a.squares, b.squares) &&
         same_bits(a.average, b.average) && same_bits(a.running, b.running) &&
         same_bits(a.average_running, b.average_running) && same_bits(a.scores, b.scores) &&
         same_bits(a.losses, b.losses) && same_bits(a.correct, b.correct);
}

Outcome outcome(const Case& c, int threads, double seconds) {
  const Example& example = c.example;
  const Layout images = Layout::plain(c.channels, example.height, example.width);
  Network network(example.layers.data(), int(example.layers.size()), images);
  const int classes = network.layers.back()->out.channels;
  const Input input(c, network.parameters, classes);
  Outcome got{.weights = input.weights,
              .momentum = std::vector<float>(network.parameters),
              .squares = std::vector<float>(network.parameters),
              .average = input.weights,
              .running = std::vector<float>(network.buffers, 1),
              .average_running = std::vector<float>(network.buffers, 1),
              .scores = {},
              .losses = {},
              .correct = {}};
  std::vector<float> gradients(network.parameters);
  const bool averages = c.average > 0;
  const State state{got.weights.data(),
                    gradients.data(),
                    got.momentum.data(),
                    got.squares.data(),
                    averages ? got.average.data() : nullptr,
                    got.running.data(),
                    averages ? got.average_running.data() : nullptr};
  const Images bytes{
      c.channels, example.height, example.width, {1 / 77.0f, 1 / 50.0f, 1 / 90.0f, 1 / 77.0f}, {-1.5f, -1, -1, -2}};
  const Recipe recipe{c.batch, c.optimizer, 0.9, 0.99, 1e-2, 0.01, 1e-4, c.smoothing, c.average};
  Trainer trainer(std::move(network), bytes, recipe, state, threads);
  trainer.allocate();

  const int steps = int(input.rates.size());
  for (int e = 0; e < EPOCHS; ++e) {
    Epoch epoch{c.count,
                input.pixels.data(),
                input.rows.data(),
                input.labels.data(),
                c.soft ? input.targets.data() : nullptr,
                {},
                input.rates.data(),
                uint64_t(e) * 1234567,
                int64_t(e) * steps};
    if (c.warp != NONE) epoch.augmentation.inverse = input.inverse.data();
    if (c.light) epoch.augmentation.light = input.light.data();
    epoch.augmentation.nearest = c.nearest;
    std::vector<double> losses(steps);
    std::vector<int64_t> correct(steps);
    for (int step = 0; step < steps;) step = trainer.train(epoch, step, seconds, losses.data(), correct.data());
    got.losses.insert(got.losses.end(), losses.begin(), losses.end());
    got.correct.insert(got.correct.end(), correct.begin(), correct.end());
  }
  for (const int count : {IMAGES, 1, 0})
    for (const bool averaged : {false, true}) {
      std::vector<float> scores(size_t(count) * classes);
      trainer.evaluate(input.pixels.data(), count, averaged ? got.average.data() : got.weights.data(),
                       averaged ? got.average_running.data() : got.running.data(), scores.data());
      got.scores.insert(got.scores.end(), scores.begin(), scores.end());
    }
  return got;
}

template <class T>
bool finite(const std::vector<T>& values) {
  return std::all_of(values.begin(), values.end(), [](T value) { return std::isfinite(value); });
}

bool holds(const Case& c) {
  const double one_go = 1e9, each_step = 0;
  const Outcome first = outcome(c, 1, one_go);
  const char* wrong = finite(first.losses) && finite(first.scores) ? nullptr : "not finite";
  for (int threads = 1; threads <= 3 && !wrong; ++threads)
    if (!(outcome(c, threads, each_step) == first)) wrong = threads == 1 ? "slices differ" : "threads differ";
  const char* const optimizers[] = {"sgd", "nesterov", "adam", "adamw"};
  std::printf("%s: %s, %d x %d x %d, batch %d of %d, %s%s%s%s%s%s, %s, loss %.4f\n", wrong ? wrong : "ok",
              c.example.name, c.channels, c.example.height, c.example.width, c.batch, int(c.count), WARP_NAMES[c.warp],
              c.nearest && c.warp ? " to the nearest" : "", c.light ? ", lit" : "", c.smoothing > 0 ? ", smoothed" : "",
              c.soft ? ", soft targets" : "", c.average > 0 ? ", averaged" : "", optimizers[c.optimizer],
              first.losses.back() / double(c.count - int64_t(first.losses.size() / EPOCHS - 1) * c.batch));
  return !wrong;
}

// Refuses a network that does not end in one score per class, before it allocates memory.
bool refuses() {
  const Spec open[] = {reading(-1, conv(3, 3))};
  try {
    Network network(open, 1, Layout::plain(1, 5, 5));
  } catch (const std::invalid_argument& refused) {
    std::printf("ok: refused, %s\n", refused.what());
    return true;
  }
  std::printf("not refused: a network without scores\n");
  return false;
}

// If a thread of a team fails, the others end when they next meet, and the team can work again.
bool survives() {
  Team team(3);
  int failures = 0;
  const auto fail = [&](int failing) {
    team.run([&](int thread) {
      for (int round = 0;; ++round) {
        if (thread == failing && round == 20) throw std::runtime_error("a thread failed");
        team.meet();
      }
    });
  };
  for (int thread = 0; thread < 3; ++thread) {
    try {
      fail(thread);
    } catch (const std::runtime_error&) {
      ++failures;
    }
  }
  int met[3] = {};
  team.run([&](int thread) {
    for (; met[thread] < 20; ++met[thread]) team.meet();
  });
  const bool all = failures == 3 && met[0] == 20 && met[1] == 20 && met[2] == 20;
  std::printf("%s: a team of which a thread fails\n", all ? "ok" : "does not work again");
  return all;
}

}  // namespace

int main() {
  bool all = refuses();
  all = survives() && all;
  std::mt19937 chance(1);
  const auto sometimes = [&] { return chance() % 2 == 1; };
  for (const Example& example : EXAMPLES)
    for (const int batch : BATCHES) {
      if (example.single && batch == 1) continue;
      const int rest = example.single || sometimes() ? batch / 2 + 1 : 1;  // images in the last batch
      const Case next{example,
                      batch,
                      2 * batch + rest,
                      Warp(chance() % WARPS),
                      sometimes(),
                      sometimes(),
                      Recipe::Optimizer(chance() % 4),
                      sometimes() ? 0.1 : 0,
                      sometimes() ? 0.9 : 0,
                      int(chance() % 4) + 1,
                      sometimes()};
      all = holds(next) && all;
    }
  return all ? 0 : 1;
}
