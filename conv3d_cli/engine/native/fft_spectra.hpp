// The spectra of a layer's kernels: computed once, and only read from then on, by any number of jobs at once.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "fft_task.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace conv3d {

const FftUnit& find_fft_unit(const std::string& isa);  // throws as find_unit does

class FftSpectra {
  public:
    // kernel is (kd, kh, kw, C / groups, F).
    FftSpectra(const FftUnit& unit, const Index (&tile)[3], Index groups, const Array& kernel);
    FftSpectra(const FftSpectra&) = delete;
    FftSpectra& operator=(const FftSpectra&) = delete;

    void prepare();  // every thread that takes part must have returned before anything reads the spectra
    void cancel() { next_ = total_; }
    bool ready() const { return finished_ == total_; }
    Index bytes() const;
    const FftUnit& unit() const { return unit_; }
    const FftShape& shape() const { return kernels_; }
    const float* values() const { return kernels_.spectra; }

  private:
    const FftUnit& unit_;
    FftKernels kernels_{};
    std::unique_ptr<void, Free> memory_;
    Index total_ = 0;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
