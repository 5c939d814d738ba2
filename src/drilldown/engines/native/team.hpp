// Threads that meet.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

// Where all threads of a team wait for the last of them.
class Barrier {
 public:
  explicit Barrier(int threads) : threads(threads) {}

  void wait() {
    const uint32_t now = round.load(std::memory_order_relaxed);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == threads) {
      arrived.store(0, std::memory_order_relaxed);
      round.store(now + 1, std::memory_order_release);
      round.notify_all();
      return;
    }
    // Awake for a while, since the others are mostly about to come; then asleep, since where cores are shared with
    // another program it may be the one that this thread would keep waiting.
    const auto patience = std::chrono::steady_clock::now() + PATIENCE;
    while (std::chrono::steady_clock::now() < patience) {
      if (round.load(std::memory_order_acquire) != now) return;
      relax();
    }
    while (round.load(std::memory_order_acquire) == now) round.wait(now, std::memory_order_acquire);
  }

 private:
  // By the clock: a processor's pause takes from 10 to 140 cycles.
  static constexpr std::chrono::microseconds PATIENCE{10};

  static void relax() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }

  const int threads;
  std::atomic<int> arrived{0};
  std::atomic<uint32_t> round{0};
};

// work(0) … work(threads − 1), side by side; returns when all are done.
template <class Work>
void side_by_side(int threads, Work work) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& other : others) other.join();
}
