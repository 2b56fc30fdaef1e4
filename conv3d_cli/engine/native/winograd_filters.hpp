// Transformed kernels, which outlive the convolution that they were made for: several jobs may read them at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "job.hpp"
#include "memory.hpp"
#include "winograd.hpp"

namespace conv3d {

// One axis of a tile as Python describes it: its outputs, the convolution's stride, and G row by row.
struct WinogradMatrix {
    Index step, stride;
    std::vector<double> kernel;
};

class WinogradKernels {
  public:
    // `shape` is the kernel's, (kd, kh, kw, C / groups, F).
    WinogradKernels(const std::string& isa, bool is_double, const std::vector<WinogradMatrix>& axes, Index groups,
                    const std::vector<Index>& shape);
    WinogradKernels(const WinogradKernels&) = delete;
    WinogradKernels& operator=(const WinogradKernels&) = delete;

    Index pieces() const;
    void prepare(const Array& kernel, Index piece);  // to be called once for each piece before any job reads
    Index bytes() const { return bytes_; }
    Index sums() const { return bytes_ / ((is_double_ ? 8 : 4) * filters_.channels); }
    void energies(double* to) const;  // sums() of squares over the channels, [group][point][filter]

    const WinogradUnit& unit() const { return unit_; }
    bool is_double() const { return is_double_; }
    const WinogradFilters& filters() const { return filters_; }

  private:
    const WinogradUnit& unit_;
    const bool is_double_;
    const std::vector<Index> shape_;
    std::vector<double> factors_[3];
    WinogradFilters filters_{};
    Index bytes_ = 0;
    std::unique_ptr<void, Free> weights_;
};

// Throws std::invalid_argument if the machine cannot run it, or the build lacks it.
const WinogradUnit& find_winograd(const std::string& isa);

}  // namespace conv3d
