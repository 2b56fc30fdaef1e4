// One convolution by Cook-Toom tiles that several threads work on together.
#pragma once

#include <atomic>
#include <vector>

#include "boundary_tables.hpp"
#include "winograd_filters.hpp"

namespace conv3d {

// One axis as Python describes it; the matrices of the input and the output as factors.
struct WinogradAxisLayout {
    Index before, dilation, tiles;
    std::vector<double> inputs, outputs;
};

class WinogradJob {
  public:
    // Shapes as those of Job. The kernels must be whole before any work, and outlive it.
    WinogradJob(const WinogradKernels& kernels, const std::vector<WinogradAxisLayout>& axes, BoundaryTables boundary,
                const Array& x, const Array& bias, const Array& out);
    WinogradJob(const WinogradJob&) = delete;
    WinogradJob& operator=(const WinogradJob&) = delete;

    void work();  // computes blocks until none is left
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }
    Index scratch_bytes() const { return scratch_bytes_; }

  private:
    void check(const std::vector<WinogradAxisLayout>& axes, const Array& x, const Array& bias, const Array& out) const;
    void set_axis(int i, const WinogradAxisLayout& layout, Index size, Index outputs);
    void copy_bias(const Array& bias);
    Index sources() const;  // channels of the input in one group
    void list_runs();

    const WinogradFilters& filters_;
    const WinogradUnit& unit_;
    const bool is_double_;
    const BoundaryTables boundary_;
    WinogradTask task_{};
    std::vector<char> factors_[3][2], bias_;
    std::vector<Run> runs_[8];
    Index total_ = 0, used_bytes_ = 0, scratch_bytes_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
