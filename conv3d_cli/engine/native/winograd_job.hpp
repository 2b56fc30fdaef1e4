// One convolution by Cook-Toom tiles that several threads work on together.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "job.hpp"
#include "winograd.hpp"

namespace conv3d {

// One axis as Python describes it; the matrices row by row, those of the input and the output as factors.
struct WinogradAxisLayout {
    Index before, step, tiles;
    std::vector<double> inputs, kernel, outputs;
};

class WinogradJob {
  public:
    // Shapes as those of Job.
    WinogradJob(const std::string& isa, bool is_double, const std::vector<WinogradAxisLayout>& axes, Index groups,
                const Array& x, const Array& kernel, const Array& bias, const Array& out);
    WinogradJob(const WinogradJob&) = delete;
    WinogradJob& operator=(const WinogradJob&) = delete;

    Index kernels() const;
    void prepare(Index kernel);  // transforms those of a few channels; to be called once for each before any work
    void work();                 // computes blocks until none is left
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }
    Index scratch_bytes() const { return scratch_ * (is_double_ ? 8 : 4); }

  private:
    void check(const std::vector<WinogradAxisLayout>& axes, Index groups, const Array& x, const Array& kernel,
               const Array& bias, const Array& out) const;
    void set_axis(int i, const WinogradAxisLayout& layout, Index size, Index outputs, Index taps);
    void copy_bias(const Array& bias);

    const WinogradUnit& unit_;
    const bool is_double_;
    const Array kernel_;
    WinogradTask task_{};
    std::vector<double> kernel_factors_[3];
    std::vector<char> factors_[3][2], bias_;
    std::vector<char> weights_;
    Index total_ = 0, scratch_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

// Throws std::invalid_argument if the machine cannot run it, or the build lacks it.
const WinogradUnit& find_winograd(const std::string& isa);

}  // namespace conv3d
