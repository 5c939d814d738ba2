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
#include "memory.hpp"
#include "network.hpp"
#include "optimizer.hpp"
#include "sum.hpp"
#include "team.hpp"

namespace drilldown {

// The data of an epoch, with all of its random draws.
struct Epoch {
  int64_t count;                 // images
  const uint8_t* pixels;         // [images][height][width]
  const int64_t *rows, *labels;  // [count], in the order in which training reads them
  const float* targets;          // [count][classes], the probabilities to learn; null: those of the labels
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
      : layers(std::move(from.layers)), slots(std::move(from.slots)), images(images), recipe(recipe), state(state),
        threads(threads), tiles((recipe.batch + LANES - 1) / LANES), starts(starts_of(layers)), team(threads),
        results(tiles), laps(threads, Laps(pieces())), memory(layers, slots, starts) {
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
    size_t sum = memory.bytes(arenas(), threads) + threads * (Reader::bytes(images) + sizeof(float) * sum_size());
    for (const auto& layer : layers) sum += layer->bytes(tiles, threads);
    return sum;
  }

  void allocate() {
    for (const auto& layer : layers) layer->allocate(tiles, threads);
    for (int i = 0; i < threads; ++i) readers.emplace_back(images), sums.emplace_back(sum_size());
    memory.allocate(arenas(), threads);
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
      float* const* values = memory.of(thread, thread).values.data();
      const Layout& out = slots.back();
      const float* result = values[layers.size()];
      for (int64_t first = int64_t(thread) * LANES; first < count; first += int64_t(threads) * LANES) {
        const Tile tile(thread, int(std::min<int64_t>(LANES, count - first)), first, values, nullptr);
        readers[thread].read(pixels, tile, nullptr, {}, slots[0], values[0]);
        for (size_t l = 0; l < layers.size(); ++l)
          layers[l]->forward({thread, false}, tile, values[layers[l]->source], values[l + 1]);
        for (int lane = 0; lane < tile.samples; ++lane)
          for (int c = 0; c < out.channels; ++c)
            scores[(first + lane) * out.channels + c] = result[out.at(c, 0, 0) + lane];
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
        work(Tile(t, std::min(LANES, samples - t * LANES), int64_t(step) * recipe.batch + t * LANES,
                  memory.of(pass.thread, t).values.data(), memory.of(pass.thread, t).gradients.data()));
    };
    const auto forward = [&](int stretch, const Tile& tile) {
      if (!stretch) {
        readers[pass.thread].read(epoch.pixels, tile, epoch.rows, epoch.augmentation, slots[0], tile.values[0]);
        clock.lap(2 * depth + READ);
      }
      for (int l = starts[stretch]; l < starts[stretch + 1]; ++l) {
        layers[l]->forward(pass, tile, tile.values[layers[l]->source], tile.values[l + 1]);
        clock.lap(2 * l);
      }
    };
    const auto backward = [&](int stretch, const Tile& tile) {
      // The norm that begins the next stretch has measured the whole batch, so the tile passes it here. The norm that
      // begins this stretch only measures the tile.
      const int begin = starts[stretch], end = starts[stretch + 1];
      if (stretch < last && !memory.keeps(begin + 1)) {
        layers[begin]->forward(pass, tile, tile.values[layers[begin]->source], tile.values[begin + 1]);
        clock.lap(2 * begin);
      }
      for (int l = std::min(end, depth - 1); l >= begin + (stretch > 0); --l) {
        pass_back(pass, tile, l);
        clock.lap(2 * l + 1);
      }
      if (stretch) {
        Layer& norm = *layers[begin];
        norm.measure_gradient(pass, tile, tile.values[norm.source], tile.gradients[begin + 1]);
        clock.lap(2 * begin + 1);
      }
    };
    const auto combine = [&](Layer& norm) { norm.combine(pass, count, state.running + norm.first_buffer); };

    for (int stretch = 0; stretch < last; ++stretch) {
      Layer& norm = *layers[starts[stretch + 1]];
      each_tile(stretch, [&](const Tile& tile) {
        forward(stretch, tile);
        norm.measure(tile, tile.values[norm.source]);
        clock.lap(2 * starts[stretch + 1]);
      });
      meet(pass.thread);
      combine(norm);
    }
    each_tile(last, [&](const Tile& tile) {
      forward(last, tile);
      const float* targets = epoch.targets ? epoch.targets + tile.position * slots.back().channels : nullptr;
      results[tile.index] =
          cross_entropy(tile, slots.back(), tile.values[depth], epoch.labels + tile.position, targets, recipe.smoothing,
                        samples, layers.back()->out_gradient, tile.gradients[depth]);
      clock.lap(2 * depth + LOSS);
      backward(last, tile);
    });
    meet(pass.thread);
    for (int stretch = last - 1; stretch >= 0; --stretch) {
      layers[starts[stretch + 1]]->combine_gradient(pass, count, samples);
      each_tile(2 * last - stretch, [&](const Tile& tile) { backward(stretch, tile); });
      meet(pass.thread);
    }
    if (pass.thread == 0)
      for (std::atomic<int>& leg : taken) leg.store(0, std::memory_order_relaxed);
    for (int l = pass.thread; l < depth; l += threads)
      if (layers[l]->owner) update(*layers[l], count, epoch.rates[step], epoch.steps_before + step + 1);
    clock.lap(2 * depth + UPDATE);
  }

  // Takes a tile backward through layer l.
  void pass_back(const Pass& pass, const Tile& tile, int l) {
    Layer& layer = *layers[l];
    const float* from = tile.values[layer.source];
    float* target = tile.gradients[layer.source];
    float* own = layer.adds && target ? static_cast<float*>(sums[pass.thread]) : target;
    layer.backward(pass, tile, from, tile.values[l + 1], tile.gradients[l + 1], own);
    if (own != target) transfer<true>(layer.in_gradient, own, layer.in_gradient, target);
  }

  void meet(int thread) {
    team.meet();
    laps[thread].lap(2 * layers.size() + WAIT);
  }

  // A layer that shares its weights with others leaves the step to the first of them, which adds up their gradients.
  void update(Layer& layer, int count, double rate, int64_t step) {
    float* gradients = state.gradients + layer.first_parameter;
    layer.collect(count, gradients);
    for (Layer* twin : layer.twins) {
      twin->collect(count, twin->collected.data());
      for (int i = 0; i < twin->parameters; ++i) gradients[i] += twin->collected[i];
    }
    const Stretch weights{layer.first_parameter, layer.parameters}, buffers{layer.first_buffer, layer.buffers};
    make_step(recipe, state, weights, rate, step);
    if (state.average) average(recipe, state, weights, buffers, step);
    prepare(layer, state.weights, state.running);
    for (Layer* twin : layer.twins) prepare(*twin, state.weights, state.running);
  }

  static void prepare(Layer& layer, const float* weights, const float* running) {
    layer.prepare(weights + layer.first_parameter, running + layer.first_buffer);
  }

  static std::vector<int> starts_of(const std::vector<std::unique_ptr<Layer>>& layers) {
    std::vector<int> starts{0};
    for (size_t l = 0; l < layers.size(); ++l)
      if (layers[l]->spans_batch()) starts.push_back(int(l));
    starts.push_back(int(layers.size()));
    return starts;
  }

  int tiles_of(const Epoch& epoch, int step) const {
    return int((std::min<int64_t>(recipe.batch, epoch.count - int64_t(step) * recipe.batch) + LANES - 1) / LANES);
  }
  int arenas() const { return std::max(tiles, threads); }  // training needs one per tile, evaluation one per thread

  // The floats of the largest gradient that is added to another one.
  size_t sum_size() const {
    long most = 0;
    for (const auto& layer : layers) most = std::max(most, layer->adds ? layer->in_gradient.size() : 0);
    return size_t(most);
  }

  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<Layout> slots;  // of the images, and of what each layer computes
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
  std::vector<Buffer> sums;     // [thread]
  Memory memory;
};

}  // namespace drilldown
