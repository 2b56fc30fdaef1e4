// One convolution through tiles of Fourier transforms that several threads work on together.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "fft_task.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace conv3d {

const FftUnit& find_fft_unit(const std::string& isa);  // throws as find_unit does

struct FftSizes {
    Index tile[3], before[3];
    Index groups;
};

class FftJob {
  public:
    // Shapes: x (N, C, D, H, W), kernel (kd, kh, kw, C / groups, F), bias (F) or no data, out (N, F, D', H', W').
    FftJob(const FftUnit& unit, const FftSizes& sizes, const Array& x, const Array& kernel, const Array& bias,
           const Array& out);
    FftJob(const FftJob&) = delete;
    FftJob& operator=(const FftJob&) = delete;

    void prepare();  // the kernels' spectra; every thread that takes part must have returned from it before work()
    void work();     // the tiles
    void cancel_prepare() { next_kernel_ = kernels_; }
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }
    Index spectra_bytes() const;  // of the kernels
    Index thread_bytes() const { return unit_.scratch(task_) * static_cast<Index>(sizeof(float)); }

  private:
    void check(const Array& x, const Array& kernel, const Array& bias, const Array& out) const;
    template <class Run>
    void share(std::atomic<Index>& next, Index total, Run run);

    const FftUnit& unit_;
    FftTask task_{};
    std::unique_ptr<void, Free> spectra_;
    std::vector<float> bias_;
    Index kernels_ = 0, total_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_kernel_{0}, next_{0}, finished_{0};
};

}  // namespace conv3d
