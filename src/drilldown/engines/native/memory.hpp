// Where the values of all slots and their gradients are in training: what each tile keeps, and what each thread has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "layer.hpp"
#include "layout.hpp"

namespace drilldown {

// Memory is slower than arithmetic here. So a slot that is only needed while one thread takes one tile through one
// stretch belongs to the thread, and stays in its cache. The output of the norm that begins a stretch is one of them:
// backward, it is computed again, unless a pool has made it smaller than the input that this would read.
class Memory {
 public:
  // Pointers for one tile in the hands of one thread.
  struct Slots {
    std::vector<float*> values, gradients;  // [slot]
  };

  // `starts`: the first layer of each stretch, and the end.
  Memory(const std::vector<std::unique_ptr<Layer>>& layers, const std::vector<Layout>& slots,
         const std::vector<int>& starts) {
    const int depth = int(layers.size()), last = int(starts.size()) - 2;
    const auto stretch_of = [&](int l) {
      return int(std::upper_bound(starts.begin(), starts.end() - 1, l) - starts.begin()) - 1;
    };
    const auto is_norm = [&](int l) { return layers[l]->spans_batch(); };
    // The stretch in which layer l takes a tile backward.
    const auto back = [&](int l) { return stretch_of(l) - is_norm(l); };
    for (int slot = 0; slot <= depth; ++slot) {
      const int writer = slot - 1, home = slot ? stretch_of(writer) : 0;
      const bool norm = slot && is_norm(writer);
      // The output of a norm is computed again if it is not smaller than its input.
      const bool again = norm && slots[slot].size() >= slots[layers[writer]->source].size();
      // In the last stretch, a tile turns back at once.
      bool kept = home != last && !again, gradient_kept = norm;
      for (int l = slot; l < depth; ++l) {
        if (!layers[l]->reads(slot)) continue;
        if (stretch_of(l) != home) kept = true;
        if (slot && back(l) != back(writer)) gradient_kept = true;
      }
      values.push_back({size_t(slots[slot].size()), kept});
      if (slot) gradients.push_back({size_t(layers[writer]->out_gradient.size()), gradient_kept});
    }
  }

  // Whether a tile keeps the values of a slot until it comes back.
  bool keeps(int slot) const { return values[slot].kept; }

  size_t bytes(int tiles, int threads) const {
    return sizeof(float) * (tiles * floats(true) + threads * floats(false));
  }

  void allocate(int tiles, int threads) {
    many = tiles;
    buffer = Buffer(tiles * floats(true) + threads * floats(false));
    float* const of_threads = buffer + tiles * floats(true);
    for (int thread = 0; thread < threads; ++thread)
      for (int tile = 0; tile < tiles; ++tile) {
        float* next[] = {of_threads + thread * floats(false), buffer + tile * floats(true)};
        const auto take = [&](const Need& need) {
          return std::exchange(next[need.kept], next[need.kept] + need.floats);
        };
        Slots& own = pointers.emplace_back();
        for (const Need& need : values) own.values.push_back(take(need));
        own.gradients.push_back(nullptr);  // images need no gradient
        for (const Need& need : gradients) own.gradients.push_back(take(need));
      }
  }

  const Slots& of(int thread, int tile) const { return pointers[size_t(thread) * many + tile]; }

 private:
  struct Need {
    size_t floats;
    bool kept;  // by each tile; else each thread has it once
  };

  size_t floats(bool kept) const {
    size_t sum = 0;
    for (const auto* needs : {&values, &gradients})
      for (const Need& need : *needs) sum += need.kept == kept ? need.floats : 0;
    return sum;
  }

  std::vector<Need> values, gradients;  // values of all slots; gradients of all but the images
  int many = 0;                         // tiles
  Buffer buffer;
  std::vector<Slots> pointers;  // [thread][tile]
};

}  // namespace drilldown
