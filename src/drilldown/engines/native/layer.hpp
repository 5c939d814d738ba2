// What a layer is. It works tile by tile, and says so if it needs the whole batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "lanes.hpp"
#include "layout.hpp"

namespace drilldown {

// LANES samples of a batch.
struct Tile {
  int index;                                // within the batch
  int samples;                              // at most LANES; the other lanes hold copies, which results ignore
  int64_t position;                         // of the first sample within the epoch
  V valid;                                  // 1 in the lanes of samples, 0 in the others
  float *const *values, *const *gradients;  // [slot]; the gradient of the images is null, and so is each in evaluation

  Tile(int index, int samples, int64_t position, float* const* values, float* const* gradients)
      : index(index), samples(samples), position(position), values(values), gradients(gradients) {
    for (int lane = 0; lane < LANES; ++lane) valid[lane] = lane < samples;
  }
};

// The part of one thread in a pass over the network.
struct Pass {
  int thread;
  bool training;
  uint64_t noise = 0;  // the key of the random numbers of this epoch
};

// Slot 0 holds the images, and slot l + 1 what layer l computes. A layer usually reads the slot before its own.
class Layer {
 public:
  Layout in, out;                    // activations
  Layout in_gradient, out_gradient;  // gradients of the loss with respect to them
  int source = 0;                    // the slot that it reads
  bool adds = false;                 // a later layer has already written a gradient of `source`: this one is added
  int first_spec = 0, specs = 0;     // the entries of the caller's list that this layer executes
  int first_parameter = 0, parameters = 0;
  int first_buffer = 0, buffers = 0;
  bool owner = true;             // whether it makes the step for its weights
  std::vector<Layer*> twins;     // of an owner: the other layers with the same weights
  std::vector<float> collected;  // of a twin: the gradients of its weights

  virtual ~Layer() = default;

  virtual bool reads(int slot) const { return slot == source; }

  // The layouts that this layer reads its input and its gradient from. Its neighbours write to them. Where several
  // layers read a slot, `in` has the widest of the borders that they want.
  virtual Layout wanted_input() const { return Layout::plain(in.channels, in.height, in.width); }
  virtual Layout wanted_gradient() const { return Layout::plain(out.channels, out.height, out.width); }

  // Called once, when the layouts are known. A batch has at most `tiles` tiles.
  virtual void allocate(int tiles, int threads) { (void)tiles, (void)threads; }
  virtual size_t bytes(int tiles, int threads) const { return (void)tiles, (void)threads, 0; }

  // Reads the weights and, for evaluation, the running statistics.
  virtual void prepare(const float* weights, const float* running) { (void)weights, (void)running; }

  // Forward, a layer reads `from` and writes `to`. Backward, it reads them again, and computes the gradient of its
  // input from that of its output; `input_gradients` is null if no layer needs it. The passes allocate no memory.
  virtual void forward(const Pass&, const Tile&, const float* from, float* to) = 0;
  virtual void backward(const Pass&, const Tile&, const float* from, const float* to, const float* gradients,
                        float* input_gradients) = 0;
  // Adds up the gradients of the weights over the tiles of a batch, in the order of the tiles.
  virtual void collect(int tiles, float* gradients) { (void)tiles, (void)gradients; }

  // A layer that needs the whole batch (batch norm) measures each tile before any tile passes it forward, and the
  // gradient of each tile before any tile passes it backward. Then all threads meet, and each combines the results of
  // the tiles.
  virtual bool spans_batch() const { return false; }
  virtual void measure(const Tile&, const float* from) { (void)from; }
  virtual void combine(const Pass&, int tiles, float* running) { (void)tiles, (void)running; }
  virtual void measure_gradient(const Pass&, const Tile&, const float* from, const float* gradients) {
    (void)from, (void)gradients;
  }
  virtual void combine_gradient(const Pass&, int tiles, int samples) { (void)tiles, (void)samples; }
};

// Visits the pixels of a channel row by row, with their offsets in two layouts.
template <class Visit>
inline void walk(int channel, const Layout& a, const Layout& b, Visit visit) {
  const long a_step = a.step(), b_step = b.step();
  for (int y = 0; y < a.height; ++y) {
    long i = a.at(channel, y, 0), j = b.at(channel, y, 0);
    for (int x = 0; x < a.width; ++x, i += a_step, j += b_step) visit(i, j);
  }
}

// A layer whose output has the shape of its input. It reads its gradient from the same places as its input.
class SameShape : public Layer {
 public:
  explicit SameShape(const Layout& shape) { in = out = Layout::plain(shape.channels, shape.height, shape.width); }

  Layout wanted_gradient() const override { return in; }
};

// Memory that is aligned for vectors and starts as zeros.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t floats)
      : memory(static_cast<float*>(::operator new(floats * sizeof(float) + !floats, std::align_val_t(64)))) {
    std::memset(memory.get(), 0, floats * sizeof(float));
  }
  operator float*() { return memory.get(); }
  operator const float*() const { return memory.get(); }

 private:
  struct Free {
    void operator()(float* block) const { ::operator delete(block, std::align_val_t(64)); }
  };
  std::unique_ptr<float, Free> memory;
};

}  // namespace drilldown
