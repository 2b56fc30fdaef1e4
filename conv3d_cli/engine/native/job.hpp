// One convolution that several threads work on together.
#pragma once

#include <atomic>
#include <vector>

#include "boundary_tables.hpp"
#include "tap_lists.hpp"

namespace conv3d {

class Job {
  public:
    // Shapes: x (N, C, D, H, W), kernel (kd, kh, kw, C / groups, F), bias (F) or no data, out (N, F, D', H', W').
    Job(const Unit& unit, bool is_double, Layout layout, BoundaryTables boundary, const Array& x, const Array& kernel,
        const Array& bias, const Array& out);
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    void work();  // computes blocks until none is left; to be called from every thread that takes part
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }

  private:
    const Unit& unit_;
    const bool is_double_;
    const Layout layout_;
    const BoundaryTables boundary_;
    Task task_{};
    const TapLists taps_;
    std::vector<char> bias_, inputs_, outputs_;  // in the arrays' dtype
    Index total_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
