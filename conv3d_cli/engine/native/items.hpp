// The items of one piece of work, given out to the threads that share it one after the other.
#pragma once

#include <atomic>

#include "index.hpp"

namespace conv3d {

class Items {
  public:
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    const bool* stop() const { return &stop_; }
    Index finished() const { return finished_; }

    template <class Run>
    void each(Index total, Run run) {
        for (Index item = next_++; item < total; item = next_++) {
            if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
            run(item);
            ++finished_;
        }
    }

  private:
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
