// One convolution through tiles of Fourier transforms that several threads work on together.
#pragma once

#include <atomic>
#include <vector>

#include "boundary_tables.hpp"
#include "fft_spectra.hpp"

namespace conv3d {

struct FftSizes {
    Index before[3], stride[3], dilation[3];
};

class FftJob {
  public:
    // Shapes: x (N, C, D, H, W), bias (F) or no data, out (N, F, D', H', W'). The spectra must be ready, and live on.
    FftJob(const FftSpectra& spectra, const FftSizes& sizes, BoundaryTables boundary, const Array& x, const Array& bias,
           const Array& out);
    FftJob(const FftJob&) = delete;
    FftJob& operator=(const FftJob&) = delete;

    void work();  // computes tiles until none is left; to be called from every thread that takes part
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }
    Index thread_bytes() const { return in_pages(unit_.scratch(task_) * static_cast<Index>(sizeof(float))); }

  private:
    void check(const Array& x, const Array& bias, const Array& out) const;
    void cut(int axis);  // into tiles

    const FftUnit& unit_;
    const BoundaryTables boundary_;
    FftTask task_{};
    std::vector<float> bias_;
    Index total_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
