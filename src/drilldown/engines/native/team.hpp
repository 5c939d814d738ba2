// A team of threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

namespace drilldown {

// Threads that do the same work side by side, and wait for each other in it.
class Team {
 public:
  explicit Team(int threads) : threads(threads) {}

  // Calls work(0) to work(threads − 1), each in a thread of its own, and returns when all calls have ended.
  //
  // If a call throws, or if the system does not start a thread, the other calls end when they next meet, and `run`
  // throws the first exception.
  template <class Work>
  void run(const Work& work) {
    arrived = 0, failed = false, failure = nullptr;
    const auto member = [this, &work](int thread) noexcept {
      try {
        work(thread);
      } catch (const Abandoned&) {
      } catch (...) {
        fail(std::current_exception());
      }
    };
    std::vector<std::thread> others;
    others.reserve(threads - 1);
    try {
      while (int(others.size()) < threads - 1) others.emplace_back(member, int(others.size()) + 1);
      member(0);
    } catch (...) {  // a thread did not start
      fail(std::current_exception());
    }
    for (std::thread& other : others) other.join();
    if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
  }

  // Called by all threads in their work: waits until the last of them has called it.
  void meet() {
    const uint32_t now = round.load(std::memory_order_acquire);  // `fail` writes `failed` first, so it is read last
    if (failed.load(std::memory_order_relaxed)) throw Abandoned();
    if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      arrived.store(0, std::memory_order_relaxed);
      round.store(now + 1, std::memory_order_release);
      round.notify_all();
      return;
    }
    // At first a thread waits awake, because the others usually come soon. Then it sleeps, because another program may
    // need the core.
    const auto patience = std::chrono::steady_clock::now() + PATIENCE;
    while (round.load(std::memory_order_acquire) == now) {
      if (std::chrono::steady_clock::now() < patience)
        relax();
      else
        round.wait(now, std::memory_order_acquire);
    }
    if (failed.load(std::memory_order_relaxed)) throw Abandoned();
  }

 private:
  // Ends the work of a thread after another thread has failed.
  struct Abandoned {};

  // A time and not a number of pauses, because a pause takes from 10 to 140 cycles.
  static constexpr std::chrono::microseconds PATIENCE{10};

  static void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }

  void fail(std::exception_ptr exception) {
    if (!failed.exchange(true, std::memory_order_relaxed)) failure = std::move(exception);
    round.fetch_add(1, std::memory_order_release);
    round.notify_all();
  }

  const int threads;
  std::atomic<int> arrived{0};
  std::atomic<uint32_t> round{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;  // the first
};

}  // namespace drilldown
