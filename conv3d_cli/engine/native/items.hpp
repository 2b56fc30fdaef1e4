// The items of one piece of work, given out to the threads that share it.
#pragma once

#include <algorithm>
#include <atomic>

#include "index.hpp"

namespace conv3d {

class Items {
  public:
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    const bool* stop() const { return &stop_; }
    Index finished() const { return finished_; }

    // Items that follow each other, none where none is left or all are to stop: half of an even share of what is left, so
    // that a thread has neighbours for the most part, and yet all threads end together (guided self-scheduling:
    // Polychronopoulos and Kuck, IEEE Transactions on Computers C-36 (1987)).
    struct Stretch {
        Index first = 0, end = 0;
    };

    Stretch stretch(Index total, Index threads) {
        Index first = next_, end;
        do {
            if (first >= total || stopped()) return {};
            end = first + std::max<Index>(1, (total - first) / (2 * threads));
        } while (!next_.compare_exchange_weak(first, end));
        return {first, end};
    }

    void finish() { ++finished_; }

    template <class Run>
    void each(Index total, Run run) {
        for (Index item = next_++; item < total; item = next_++) {
            if (stopped()) return;
            run(item);
            finish();
        }
    }

  private:
    bool stopped() const { return __atomic_load_n(&stop_, __ATOMIC_RELAXED); }

    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
