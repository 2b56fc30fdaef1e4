#include "winograd_filters.hpp"

#include <algorithm>

#include "checks.hpp"
#include "units.hpp"

namespace conv3d {

CONV3D_UNITS(WinogradUnit, winograd, find_winograd)

// The matrices come from Python, and wrong ones would read or write anywhere: they are checked here.
WinogradKernels::WinogradKernels(const std::string& isa, bool is_double, const std::vector<WinogradMatrix>& axes,
                                 Index groups, const std::vector<Index>& shape)
    : unit_(find_winograd(isa)), is_double_(is_double), shape_(shape) {
    require(shape.size() == 5 && axes.size() == 3, "a kernel needs 5 axes, its matrices are 3");
    require(groups > 0 && shape[3] > 0 && shape[4] > 0 && shape[4] % groups == 0,
            "channels, filters and groups do not fit together");
    filters_ = {groups, shape[3], shape[4] / groups, {}, {}, {}, {}, {}, {}, nullptr};
    Index count = shape[4];
    for (int i = 0; i < 3; ++i) {
        const WinogradMatrix& a = axes[static_cast<std::size_t>(i)];
        const Index whole = shape[static_cast<std::size_t>(i)];
        require_near({a.step});
        require(whole >= 1 && a.stride >= 1 && a.stride <= most_stride, "a stride must be 1 to 7");
        const Index taps = (whole + a.stride - 1) / a.stride, points = a.step + taps - 1;
        require(taps >= 1 && taps <= most_taps &&
                    (taps == 1 ? points == 1 : a.step >= 2 && (points == 4 || points == 6 || points == 8)),
                "a tile needs 4, 6 or 8 points and two outputs, or 1 where the kernel has one tap");
        require(static_cast<Index>(a.kernel.size()) == points * taps, "a matrix does not fit its tile");
        factors_[i] = a.kernel;
        filters_.whole[i] = whole;
        filters_.stride[i] = a.stride;
        filters_.residues[i] = std::min(whole, a.stride);
        filters_.channels *= filters_.residues[i];
        filters_.taps[i] = taps;
        filters_.points[i] = points;
        filters_.factors[i] = factors_[i].data();
        count *= points;
    }
    bytes_ = count * filters_.channels * (is_double ? 8 : 4);
    weights_ = allocate(bytes_);
    filters_.weights = weights_.get();
}

Index WinogradKernels::pieces() const {
    return filters_.groups * ((filters_.channels + kernel_channels - 1) / kernel_channels);
}

void WinogradKernels::prepare(const Array& kernel, Index piece) {
    require(kernel.shape == shape_, "the kernel has another shape");
    require(piece >= 0 && piece < pieces(), "no such kernels");
    const Index each = pieces() / filters_.groups;
    const Index group = piece / each, channel = piece % each * kernel_channels;
    if (is_double_)
        unit_.weights_double(filters_, static_cast<const double*>(kernel.data), kernel.strides.data(), group, channel);
    else
        unit_.weights_float(filters_, static_cast<const float*>(kernel.data), kernel.strides.data(), group, channel);
}

void WinogradKernels::energies(double* to) const {
    (is_double_ ? unit_.energies_double : unit_.energies_float)(filters_, to);
}

}  // namespace conv3d
