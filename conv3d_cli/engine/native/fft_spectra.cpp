#include "fft_spectra.hpp"

#include <algorithm>

#include "checks.hpp"
#include "units.hpp"

namespace conv3d {

CONV3D_UNITS(FftUnit, fft_unit, find_fft_unit)

namespace {

// What keeps memory safe is checked here.
void check(const FftUnit& unit, const Index (&tile)[3], Index groups, const Array& kernel) {
    require(kernel.shape.size() == 5, "the kernel needs 5 axes");
    require(groups > 0 && kernel.shape[3] > 0 && kernel.shape[4] > 0 && kernel.shape[4] % groups == 0,
            "channels, filters and groups do not fit together");
    for (std::size_t i = 0; i < 3; ++i) {
        require(unit.known(tile[i], i == 2), "there is no transform of this length");
        require(kernel.shape[i] > 0 && kernel.shape[i] <= tile[i], "the kernel must fit into a tile");
    }
}

}  // namespace

FftSpectra::FftSpectra(const FftUnit& unit, const Index (&tile)[3], Index groups, const Array& kernel) : unit_(unit) {
    check(unit, tile, groups, kernel);
    std::copy(tile, tile + 3, kernels_.tile);
    std::copy(kernel.shape.begin(), kernel.shape.begin() + 3, kernels_.taps);
    std::copy(kernel.strides.begin(), kernel.strides.end(), kernels_.strides);
    kernels_.kernel = static_cast<const float*>(kernel.data);
    kernels_.groups = groups;
    kernels_.channels = kernel.shape[3];
    kernels_.filters = kernel.shape[4] / groups;
    kernels_.frequencies = tile[2] / 2 + 1;
    kernels_.columns = kernels_.frequencies * tile[1];
    memory_ = allocate(bytes());
    kernels_.spectra = static_cast<float*>(memory_.get());
    total_ = groups * kernels_.channels * ((kernels_.filters + unit.lanes - 1) / unit.lanes);
}

Index FftSpectra::bytes() const {
    const Index pairs = kernels_.groups * kernels_.channels * kernels_.filters;
    return pairs * kernels_.columns * kernels_.tile[0] * 2 * static_cast<Index>(sizeof(float));
}

void FftSpectra::prepare() {
    const auto scratch = allocate(unit_.prepare_scratch(kernels_) * static_cast<Index>(sizeof(float)));
    for (Index item = next_++; item < total_; item = next_++) {
        unit_.prepare(kernels_, item, static_cast<float*>(scratch.get()));
        ++finished_;
    }
}

}  // namespace conv3d
