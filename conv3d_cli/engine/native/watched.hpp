// A state that one thread changes and another waits for: for a moment with its eyes open, then asleep.
//
// To put a thread to sleep and wake it takes longer than a small volume, most of all on a virtual machine, where an idle
// processor is given back to the host.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

namespace conv3d {

// Tells the processor that a loop only looks, so that it neither guesses ahead nor takes power from its neighbour.
inline void look_away() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class State>
class Watched {
  public:
    using Clock = std::chrono::steady_clock;

    explicit Watched(State first) : state_(first) {}

    // Whether the state was `from`; then it is `to`. Who sleeps sleeps on.
    bool change(State from, State to) { return state_.compare_exchange_strong(from, to); }

    // Who sleeps sees it too. Who is about to sleep says so before it looks for the last time, and here that is looked at
    // after the change: one of both sees what the other did, for all of it is sequentially consistent.
    void tell(State to) {
        state_ = to;
        if (sleepers_ == 0) return;
        { const std::lock_guard<std::mutex> lock(mutex_); }
        changed_.notify_all();
    }

    // Whether `holds(state)` became true within so long.
    template <class Holds>
    bool look(Holds holds, Clock::duration time) const {
        constexpr int looks = 64;  // as long as reading the clock takes, and some more
        const auto end = Clock::now() + time;
        do {
            for (int i = 0; i < looks; ++i, look_away())
                if (holds(state_.load())) return true;
        } while (Clock::now() < end);
        return false;
    }

    // Returns once `holds(state)`.
    template <class Holds>
    void sleep(Holds holds) {
        std::unique_lock<std::mutex> lock(mutex_);
        ++sleepers_;
        changed_.wait(lock, [&] { return holds(state_.load()); });
        --sleepers_;
    }

  private:
    std::atomic<State> state_;
    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable changed_;
};

}  // namespace conv3d
