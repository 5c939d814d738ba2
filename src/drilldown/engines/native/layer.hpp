// What a layer is: it works tile by tile, and where it needs the whole batch it says so.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "layout.hpp"

// LANES samples of a batch.
struct Tile {
  int index;         // within the batch
  int samples;       // at most LANES; the lanes beyond hold copies that count for nothing
  int64_t position;  // of the first sample within the epoch
  V valid;           // 1 in the lanes of samples, 0 beyond

  Tile(int index, int samples, int64_t position) : index(index), samples(samples), position(position) {
    for (int lane = 0; lane < LANES; ++lane) valid[lane] = lane < samples;
  }
};

// One thread's part in a pass over the network.
struct Pass {
  int thread;
  bool training;
  uint64_t noise = 0;  // names the epoch's random numbers
};

class Layer {
 public:
  Layout in, out;                    // activations
  Layout in_gradient, out_gradient;  // the loss's gradients to them
  int first_spec = 0, specs = 0;  // of the caller's list: one, or as many as `Pointwise` does at once
  int first_parameter = 0, parameters = 0;
  int first_buffer = 0, buffers = 0;

  virtual ~Layer() = default;

  // The layouts that this layer wants before and behind it, given the shapes; its neighbours provide them.
  virtual Layout wanted_input() const { return Layout::plain(in.channels, in.height, in.width); }
  virtual Layout wanted_gradient() const { return Layout::plain(out.channels, out.height, out.width); }

  // Called once the layouts are known, for so many tiles a batch and threads.
  virtual void allocate(int tiles, int threads) { (void)tiles, (void)threads; }
  virtual size_t bytes(int tiles, int threads) const { return (void)tiles, (void)threads, 0; }

  // Takes in the weights (and, for evaluation, the running statistics) as they are now.
  virtual void prepare(const float* weights, const float* running) { (void)weights, (void)running; }

  virtual void forward(const Pass&, const Tile&, const float* in, float* out) = 0;
  // `in_gradient` is null where nobody wants it. `in` and `out` are those of the forward pass.
  virtual void backward(const Pass&, const Tile&, const float* in, const float* out, const float* out_gradient,
                        float* in_gradient) = 0;
  // The gradients of the weights, all tiles of a batch together, in the order of the tiles.
  virtual void collect(int tiles, float* gradients) { (void)tiles, (void)gradients; }

  // A layer that needs the whole batch (batch norm) measures each tile before anything goes forward, and each tile's
  // gradient before anything goes backward. All threads meet in between; then each adds up what the tiles gave.
  virtual bool spans_batch() const { return false; }
  virtual void measure(const Tile&, const float* in) { (void)in; }
  virtual void combine(const Pass&, int tiles, float* running) { (void)tiles, (void)running; }
  virtual void measure_gradient(const Pass&, const Tile&, const float* in, const float* out_gradient) {
    (void)in, (void)out_gradient;
  }
  virtual void combine_gradient(const Pass&, int tiles, int samples) { (void)tiles, (void)samples; }
};

// Memory aligned to a vector, all zeros.
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
