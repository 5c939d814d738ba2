// The training step and evaluation: what each thread does, and where the threads meet.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "images.hpp"
#include "lanes.hpp"
#include "layer.hpp"
#include "layout.hpp"
#include "loss.hpp"
#include "network.hpp"
#include "team.hpp"

namespace drilldown {

// The memory of the caller that training changes. `average` and `average_running` are null without averaging.
struct State {
  float *weights, *gradients, *momentum, *average;  // [parameters]
  float *running, *average_running;                 // [buffers]
};

struct Recipe {
  int32_t batch, nesterov;
  double momentum, weight_decay, smoothing;
  double average;  // decay of the average of the weights
};

// The data of an epoch, with all of its random draws.
struct Epoch {
  int64_t count;                 // images
  const uint8_t* pixels;         // [images][height][width]
  const int64_t *rows, *labels;  // [count], in the order in which training reads them
  Augmentation augmentation;
  const double* rates;   // [steps]
  uint64_t noise;        // the key of its random numbers
  int64_t steps_before;  // in earlier epochs
};

// The time that a thread spends on each piece of work. A lap ends one piece and begins the next. It costs some 30 ns,
// and a piece takes tens of thousands, so timing is always on.
class Laps {
 public:
  explicit Laps(size_t pieces) : seconds(pieces) {}
  void begin() { last = std::chrono::steady_clock::now(); }
  void lap(size_t piece) {
    const auto now = std::chrono::steady_clock::now();
    seconds[piece] += std::chrono::duration<double>(now - last).count();
    last = now;
  }
  std::vector<double> seconds;

 private:
  std::chrono::steady_clock::time_point last;
};

class Trainer {
 public:
  // Pieces of work: first each layer forward and backward, then these.
  enum Piece { READ, LOSS, UPDATE, WAIT, PIECES };

  Trainer(Network&& from, Images images, Recipe recipe, State state, int threads)
      : layers(std::move(from.layers)), images(images), recipe(recipe), state(state), threads(threads),
        tiles((recipe.batch + LANES - 1) / LANES), team(threads), results(tiles), laps(threads, Laps(pieces())) {
    starts.push_back(0);
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers[i]->spans_batch()) starts.push_back(int(i));
    starts.push_back(int(layers.size()));
    taken = std::vector<std::atomic<int>>(2 * starts.size() - 3);
  }

  // The number of pieces of work. Those of layer l are 2·l (forward) and 2·l + 1 (backward).
  int pieces() const { return 2 * int(layers.size()) + PIECES; }

  // One pair per layer: the first entry of the caller's list that it executes, and the number of entries.
  void specs(int* pairs) const {
    for (const auto& layer : layers) *pairs++ = layer->first_spec, *pairs++ = layer->specs;
  }

  // The seconds that all threads together have spent on each piece in training.
  void time(double* seconds) const {
    std::fill(seconds, seconds + pieces(), 0.0);
    for (const Laps& thread : laps)
      for (int i = 0; i < pieces(); ++i) seconds[i] += thread.seconds[i];
  }

  // The memory that `allocate` takes.
  size_t bytes() const {
    size_t sum = threads * Reader::bytes(images) + sizeof(float) * arenas() * arena();
    for (const auto& layer : layers) sum += layer->bytes(tiles, threads);
    return sum;
  }

  void allocate() {
    for (const auto& layer : layers) layer->allocate(tiles, threads);
    for (int i = 0; i < threads; ++i) readers.emplace_back(images);
    memory = Buffer(arenas() * arena());
    float* next = memory;
    const auto take = [&](const Layout& layout) { return std::exchange(next, next + layout.size()); };
    for (int i = 0; i < arenas(); ++i) {
      std::vector<float*>& values = tile_values.emplace_back();
      for (const auto& layer : layers) values.push_back(take(layer->in));
      values.push_back(take(layers.back()->out));
      std::vector<float*>& gradients = tile_gradients.emplace_back(1, nullptr);  // null: images need no gradient
      for (const auto& layer : layers) gradients.push_back(take(layer->out_gradient));
    }
  }

  // Trains from step `first` (from 0) until the epoch is over or `seconds` have passed. Writes the loss and the number
  // of right answers of each step, summed over its images. Returns the step that comes next.
  int train(const Epoch& epoch, int first, double seconds, double* losses, int64_t* correct) {
    const auto begun = std::chrono::steady_clock::now();
    const int steps = int((epoch.count + recipe.batch - 1) / recipe.batch);
    for (const auto& layer : layers) prepare(*layer, state.weights, state.running);
    for (std::atomic<int>& leg : taken) leg.store(0, std::memory_order_relaxed);  // a step that failed leaves counts
    int next = first;
    bool over = first >= steps;
    team.run([&](int thread) {
      laps[thread].begin();
      while (!over) {
        const int step = next;
        train_step(epoch, step, {thread, true, epoch.noise});
        if (thread == 0) {
          Result sum;
          for (int t = 0; t < tiles_of(epoch, step); ++t)
            sum.loss += results[t].loss, sum.correct += results[t].correct;
          losses[step] = sum.loss, correct[step] = sum.correct;
          const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begun;
          next = step + 1;
          over = next == steps || elapsed.count() > seconds;
        }
        meet(thread);
      }
    });
    return next;
  }

  // Writes the scores [count][classes] of `count` images in evaluation mode.
  void evaluate(const uint8_t* pixels, int64_t count, const float* weights, const float* running, float* scores) {
    for (const auto& layer : layers) prepare(*layer, weights, running);
    team.run([&](int thread) {
      const std::vector<float*>& values = tile_values[thread];
      const Layout& out = layers.back()->out;
      for (int64_t first = int64_t(thread) * LANES; first < count; first += int64_t(threads) * LANES) {
        const Tile tile(thread, int(std::min<int64_t>(LANES, count - first)), first);
        readers[thread].read(pixels, tile, nullptr, {}, layers[0]->in, values[0]);
        for (size_t l = 0; l < layers.size(); ++l) layers[l]->forward({thread, false}, tile, values[l], values[l + 1]);
        for (int lane = 0; lane < tile.samples; ++lane)
          for (int c = 0; c < out.channels; ++c)
            scores[(first + lane) * out.channels + c] = values.back()[out.at(c, 0, 0) + lane];
      }
    });
  }

 private:
  // Forward, all tiles pass the layers up to the next batch norm, and the threads meet. Behind the last batch norm each
  // tile passes the rest of the layers, the loss, and those layers backward. Then the tiles return stretch by stretch.
  void train_step(const Epoch& epoch, int step, const Pass& pass) {
    const int samples = int(std::min<int64_t>(recipe.batch, epoch.count - int64_t(step) * recipe.batch));
    const int count = tiles_of(epoch, step), depth = int(layers.size()), last = int(starts.size()) - 2;
    Laps& clock = laps[pass.thread];
    // A thread that is free takes the next tile. So a thread whose core is busy with other programs does less.
    const auto each_tile = [&](int leg, auto work) {
      for (int t; (t = taken[leg].fetch_add(1, std::memory_order_relaxed)) < count;)
        work(Tile(t, std::min(LANES, samples - t * LANES), int64_t(step) * recipe.batch + t * LANES),
             tile_values[t].data(), tile_gradients[t].data());
    };
    const auto forward = [&](int stretch, const Tile& tile, float** values) {
      if (!stretch) {
        readers[pass.thread].read(epoch.pixels, tile, epoch.rows, epoch.augmentation, layers[0]->in, values[0]);
        clock.lap(2 * depth + READ);
      }
      for (int l = starts[stretch]; l < starts[stretch + 1]; ++l) {
        layers[l]->forward(pass, tile, values[l], values[l + 1]);
        clock.lap(2 * l);
      }
    };
    const auto backward = [&](int stretch, const Tile& tile, float** values, float** gradients) {
      // The norm that begins the next stretch has measured the whole batch, so the tile passes it here. The norm that
      // begins this stretch only measures the tile.
      const int begin = starts[stretch], end = starts[stretch + 1];
      for (int l = std::min(end, depth - 1); l >= begin + (stretch > 0); --l) {
        layers[l]->backward(pass, tile, values[l], values[l + 1], gradients[l + 1], gradients[l]);
        clock.lap(2 * l + 1);
      }
      if (stretch) {
        layers[begin]->measure_gradient(pass, tile, values[begin], gradients[begin + 1]);
        clock.lap(2 * begin + 1);
      }
    };
    const auto combine = [&](Layer& norm) { norm.combine(pass, count, state.running + norm.first_buffer); };

    for (int stretch = 0; stretch < last; ++stretch) {
      Layer& norm = *layers[starts[stretch + 1]];
      each_tile(stretch, [&](const Tile& tile, float** values, float**) {
        forward(stretch, tile, values);
        norm.measure(tile, values[starts[stretch + 1]]);
        clock.lap(2 * starts[stretch + 1]);
      });
      meet(pass.thread);
      combine(norm);
    }
    each_tile(last, [&](const Tile& tile, float** values, float** gradients) {
      forward(last, tile, values);
      results[tile.index] = cross_entropy(tile, layers.back()->out, values[depth], epoch.labels + tile.position,
                                          recipe.smoothing, samples, layers.back()->out_gradient, gradients[depth]);
      clock.lap(2 * depth + LOSS);
      backward(last, tile, values, gradients);
    });
    meet(pass.thread);
    for (int stretch = last - 1; stretch >= 0; --stretch) {
      layers[starts[stretch + 1]]->combine_gradient(pass, count, samples);
      each_tile(2 * last - stretch, [&](const Tile& tile, float** values, float** gradients) {
        backward(stretch, tile, values, gradients);
      });
      meet(pass.thread);
    }
    if (pass.thread == 0)
      for (std::atomic<int>& leg : taken) leg.store(0, std::memory_order_relaxed);
    for (int l = pass.thread; l < depth; l += threads)
      update(*layers[l], count, epoch.rates[step], epoch.steps_before + step + 1);
    clock.lap(2 * depth + UPDATE);
  }

  void meet(int thread) {
    team.meet();
    laps[thread].lap(2 * layers.size() + WAIT);
  }

  // Stochastic gradient descent as in PyTorch: the gradient contains the decay, and the first momentum is the gradient.
  void update(Layer& layer, int count, double rate, int64_t step) {
    layer.collect(count, state.gradients + layer.first_parameter);
    const float lr = float(rate), momentum = float(recipe.momentum), decay = float(recipe.weight_decay);
    for (int i = layer.first_parameter; i < layer.first_parameter + layer.parameters; ++i) {
      const float gradient = state.gradients[i] + decay * state.weights[i];
      const float velocity = state.momentum[i] = momentum * state.momentum[i] + gradient;
      state.weights[i] -= lr * (recipe.nesterov ? gradient + momentum * velocity : velocity);
    }
    if (state.average) {
      const double kept = std::min(recipe.average, double(1 + step) / double(10 + step));
      const auto approach = [&](float* average, const float* value, int first, int many) {
        for (int i = first; i < first + many; ++i) average[i] += float(1 - kept) * (value[i] - average[i]);
      };
      approach(state.average, state.weights, layer.first_parameter, layer.parameters);
      approach(state.average_running, state.running, layer.first_buffer, layer.buffers);
    }
    prepare(layer, state.weights, state.running);
  }

  static void prepare(Layer& layer, const float* weights, const float* running) {
    layer.prepare(weights + layer.first_parameter, running + layer.first_buffer);
  }

  int tiles_of(const Epoch& epoch, int step) const {
    return int((std::min<int64_t>(recipe.batch, epoch.count - int64_t(step) * recipe.batch) + LANES - 1) / LANES);
  }
  int arenas() const { return std::max(tiles, threads); }  // training needs one per tile, evaluation one per thread

  // The floats that the activations of a tile and their gradients take.
  size_t arena() const {
    size_t floats = layers.back()->out.size();
    for (const auto& layer : layers) floats += layer->in.size() + layer->out_gradient.size();
    return floats;
  }

  std::vector<std::unique_ptr<Layer>> layers;
  Images images;
  Recipe recipe;
  State state;
  int threads, tiles;
  // The first layer of each stretch, and the end. Every stretch but the first begins with a batch norm.
  std::vector<int> starts;
  Team team;
  // [leg]: how many tiles the threads have taken. The legs are the stretches but the last forward, the last forward and
  // backward, and the others backward.
  std::vector<std::atomic<int>> taken;
  std::vector<Result> results;  // [tile]
  std::vector<Laps> laps;       // [thread]
  std::vector<Reader> readers;  // [thread]
  Buffer memory;
  std::vector<std::vector<float*>> tile_values, tile_gradients;  // [tile][layer]: its input and the gradient of it
};

}  // namespace drilldown
