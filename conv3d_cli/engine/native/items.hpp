// The items of one piece of work, given out to the threads that share it one after the other.
#pragma once

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "checks.hpp"
#include "task.hpp"

namespace conv3d {

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Aligned for vectors of the widest set; no two threads share a line.
inline std::unique_ptr<void, Free> aligned_scratch(Index bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, static_cast<std::size_t>(bytes > 0 ? bytes : 64)) != 0) throw std::bad_alloc();
    return std::unique_ptr<void, Free>(memory);
}

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
