// What Python sees: plain functions over plain memory, called through ctypes, which lets go of the interpreter's lock.
#include <exception>

#include "trainer.hpp"

#define PUBLIC extern "C" __attribute__((visibility("default")))

PUBLIC int drilldown_lanes() { return LANES; }

// Null where the network cannot be built; `error` then says why.
PUBLIC Trainer* drilldown_new(const Spec* specs, int count, const Images* images, const Recipe* recipe,
                              const State* state, int threads, char* error, int error_size) try {
  return new Trainer(Network(specs, count, images->height, images->width), *images, *recipe, *state, threads);
} catch (const std::exception& exception) {
  std::strncpy(error, exception.what(), error_size - 1);
  return nullptr;
}

PUBLIC int64_t drilldown_bytes(const Trainer* trainer) { return int64_t(trainer->bytes()); }

// 0 where the memory does not suffice.
PUBLIC int drilldown_allocate(Trainer* trainer) try {
  trainer->allocate();
  return 1;
} catch (const std::bad_alloc&) {
  return 0;
}

PUBLIC int drilldown_train(Trainer* trainer, const Epoch* epoch, int first, double seconds, double* losses,
                           int64_t* correct) {
  return trainer->train(*epoch, first, seconds, losses, correct);
}

PUBLIC void drilldown_evaluate(Trainer* trainer, const uint8_t* pixels, int64_t count, const float* weights,
                               const float* running, float* scores) {
  trainer->evaluate(pixels, count, weights, running, scores);
}

// Seconds of all threads while training, [pieces]: of each layer forward and backward, of reading, loss, update, waiting.
PUBLIC int drilldown_pieces(const Trainer* trainer) { return trainer->pieces(); }
PUBLIC void drilldown_specs(const Trainer* trainer, int* pairs) { trainer->specs(pairs); }
PUBLIC void drilldown_time(const Trainer* trainer, double* seconds) { trainer->time(seconds); }

// What so many threads can do at most, in floating-point operations a second: multiply-adds on registers alone.
PUBLIC double drilldown_peak(int threads) {
  constexpr int SUMS_AT_ONCE = 8;  // two units, four cycles each
  constexpr int64_t ROUNDS = 20'000'000;
  std::atomic<float> kept{0};  // what nobody reads, a compiler would not calculate
  const auto begun = std::chrono::steady_clock::now();
  side_by_side(threads, [&](int) {
    V sums[SUMS_AT_ONCE];
    UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) sums[i] = splat(float(i));
    const V factor = splat(0.999f), term = splat(1e-6f);
    for (int64_t round = 0; round < ROUNDS; ++round)
      UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) sums[i] = sums[i] * factor + term;
    V total{};
    UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) total += sums[i];
    kept = add_lanes(total);
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begun;
  return 2.0 * LANES * SUMS_AT_ONCE * ROUNDS * threads / elapsed.count();
}

PUBLIC void drilldown_delete(Trainer* trainer) { delete trainer; }
