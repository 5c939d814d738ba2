// The functions that Python calls through ctypes, which releases the lock of the interpreter. They use plain memory.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iterator>
#include <new>
#include <system_error>

#include "images.hpp"
#include "kernels.hpp"
#include "lanes.hpp"
#include "layout.hpp"
#include "network.hpp"
#include "team.hpp"
#include "trainer.hpp"

#define PUBLIC extern "C" __attribute__((visibility("default")))

namespace drilldown {

// Why a call failed.
struct Failure {
  char reason[200];
};

// Calls `work` and returns its result. An exception would end the process if it reached Python. So it becomes the
// reason of the failure, and the result becomes 0, which `work` itself never returns.
template <class Work>
auto guarded(Failure* failure, const Work& work) noexcept -> decltype(work()) {
  constexpr size_t SIZE = sizeof failure->reason;
  try {
    return work();
  } catch (const std::bad_alloc&) {
    std::snprintf(failure->reason, SIZE, "the memory does not suffice");
  } catch (const std::system_error& error) {
    std::snprintf(failure->reason, SIZE, "the system does not start a thread (%s)", error.what());
  } catch (const std::exception& error) {
    std::snprintf(failure->reason, SIZE, "%s", error.what());
  } catch (...) {
    std::snprintf(failure->reason, SIZE, "an unknown exception");
  }
  return {};
}

PUBLIC int drilldown_lanes() noexcept { return LANES; }

// The size of structure `number` of STRUCTURES in library.py, or 0 if there are fewer.
PUBLIC int64_t drilldown_size(int number) noexcept {
  constexpr int64_t SIZES[] = {sizeof(Images), sizeof(Spec),  sizeof(Recipe),
                               sizeof(State),  sizeof(Epoch), sizeof(Failure)};
  return number < int(std::size(SIZES)) ? SIZES[number] : 0;
}

PUBLIC Trainer* drilldown_new(const Spec* specs, int count, const Images* images, const Recipe* recipe,
                              const State* state, int threads, Failure* failure) noexcept {
  return guarded(failure, [&] {
    const Layout shape = Layout::plain(images->channels, images->height, images->width);
    return new Trainer(Network(specs, count, shape), *images, *recipe, *state, threads);
  });
}

PUBLIC int64_t drilldown_bytes(const Trainer* trainer) noexcept { return int64_t(trainer->bytes()); }

PUBLIC int drilldown_allocate(Trainer* trainer, Failure* failure) noexcept {
  return guarded(failure, [&] {
    trainer->allocate();
    return 1;
  });
}

// Returns the step that comes next.
PUBLIC int drilldown_train(Trainer* trainer, const Epoch* epoch, int first, double seconds, double* losses,
                           int64_t* correct, Failure* failure) noexcept {
  return guarded(failure, [&] { return trainer->train(*epoch, first, seconds, losses, correct); });
}

PUBLIC int drilldown_evaluate(Trainer* trainer, const uint8_t* pixels, int64_t count, const float* weights,
                              const float* running, float* scores, Failure* failure) noexcept {
  return guarded(failure, [&] {
    trainer->evaluate(pixels, count, weights, running, scores);
    return 1;
  });
}

// The seconds of all threads in training, [pieces]: each layer forward and backward, reading, loss, update, waiting.
PUBLIC int drilldown_pieces(const Trainer* trainer) noexcept { return trainer->pieces(); }
PUBLIC void drilldown_specs(const Trainer* trainer, int* pairs) noexcept { trainer->specs(pairs); }
PUBLIC void drilldown_time(const Trainer* trainer, double* seconds) noexcept { trainer->time(seconds); }

// The most floating-point operations per second that `threads` threads can do: multiply-adds that only use registers.
PUBLIC double drilldown_peak(int threads, Failure* failure) noexcept {
  constexpr int SUMS_AT_ONCE = 8;  // two units with a latency of four cycles
  constexpr int64_t ROUNDS = 20'000'000;
  std::atomic<float> kept{0};  // the compiler would remove the loop if no one used its result
  return guarded(failure, [&] {
    const auto begun = std::chrono::steady_clock::now();
    Team(threads).run([&](int) {
      V sums[SUMS_AT_ONCE];
      UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) sums[i] = splat(float(i));
      const V factor = splat(0.999f), term = splat(1e-6f);
      for (int64_t round = 0; round < ROUNDS; ++round) {
        UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) sums[i] = sums[i] * factor + term;
      }
      V total{};
      UNROLLED for (int i = 0; i < SUMS_AT_ONCE; ++i) total += sums[i];
      kept = add_lanes(total);
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begun;
    return 2.0 * LANES * SUMS_AT_ONCE * ROUNDS * threads / elapsed.count();
  });
}

PUBLIC void drilldown_delete(Trainer* trainer) noexcept { delete trainer; }

}  // namespace drilldown
