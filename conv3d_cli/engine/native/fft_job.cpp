#include "fft_job.hpp"

#include <algorithm>
#include <stdexcept>

#include "units.hpp"

namespace conv3d {

namespace generic {
extern const FftUnit fft_unit;
}

#if defined(CONV3D_X86_UNITS)
namespace v4 {
extern const FftUnit fft_unit;
}
namespace v3 {
extern const FftUnit fft_unit;
}
namespace v2 {
extern const FftUnit fft_unit;
}
#endif

namespace {

constexpr Index page = 4096;

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

}  // namespace

const FftUnit& find_fft_unit(const std::string& isa) {
    const std::string name = find_unit(isa).name;
#if defined(CONV3D_X86_UNITS)
    if (name == "x86-64-v4") return v4::fft_unit;
    if (name == "x86-64-v3") return v3::fft_unit;
    if (name == "x86-64-v2") return v2::fft_unit;
#endif
    return generic::fft_unit;
}

FftJob::FftJob(const FftUnit& unit, const FftSizes& sizes, const Array& x, const Array& kernel, const Array& bias,
               const Array& out)
    : unit_(unit) {
    std::copy(sizes.tile, sizes.tile + 3, task_.tile);
    std::copy(sizes.before, sizes.before + 3, task_.before);
    task_.groups = sizes.groups;
    check(x, kernel, bias, out);
    task_.x = static_cast<const float*>(x.data);
    task_.out = static_cast<float*>(out.data);
    task_.kernel = static_cast<const float*>(kernel.data);
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    std::copy(kernel.strides.begin(), kernel.strides.end(), task_.kernel_strides);
    task_.batch = x.shape[0];
    task_.channels = kernel.shape[3];
    task_.filters = kernel.shape[4] / task_.groups;
    Index tiles = task_.batch;
    for (std::size_t i = 0; i < 3; ++i) {
        task_.size[i] = x.shape[i + 2];
        task_.outputs[i] = out.shape[i + 2];
        task_.taps[i] = kernel.shape[i];
        task_.kept[i] = task_.tile[i] - task_.taps[i] + 1;
        task_.tiles[i] = ceil_div(task_.outputs[i], task_.kept[i]);
        tiles *= task_.tiles[i];
    }
    task_.frequencies = task_.tile[2] / 2 + 1;
    task_.columns = task_.frequencies * task_.tile[1];
    const Index pair = 2 * unit.lanes;
    task_.pitch = std::max(task_.channels * task_.tile[0], task_.filters * task_.kept[0]) * pair;
    // Columns a multiple of a page apart would crowd into one set of the cache.
    if (task_.pitch * static_cast<Index>(sizeof(float)) % (page / 4) == 0) task_.pitch += pair;
    task_.stop = &stop_;
    for (Index f = 0; bias.data && f < bias.shape[0]; ++f)
        bias_.push_back(static_cast<const float*>(bias.data)[f * bias.strides[0]]);
    task_.bias = bias.data ? bias_.data() : nullptr;
    spectra_ = allocate(static_cast<std::size_t>(spectra_bytes()));
    task_.spectra = static_cast<float*>(spectra_.get());
    kernels_ = task_.groups * task_.channels * ceil_div(task_.filters, unit.lanes);
    total_ = task_.groups * ceil_div(tiles, unit.lanes);
}

// What keeps memory safe is checked here.
void FftJob::check(const Array& x, const Array& kernel, const Array& bias, const Array& out) const {
    require(x.shape.size() == 5 && kernel.shape.size() == 5 && out.shape.size() == 5, "x, kernel and out need 5 axes");
    const Index groups = task_.groups;
    require(groups > 0 && x.shape[1] == kernel.shape[3] * groups && kernel.shape[4] % groups == 0 &&
                out.shape[1] == kernel.shape[4] && out.shape[0] == x.shape[0] && x.shape[0] > 0 && x.shape[1] > 0 &&
                out.shape[1] > 0,
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == kernel.shape[4]),
            "bias needs one value a filter");
    for (std::size_t i = 0; i < 3; ++i) {
        require(unit_.known(task_.tile[i], i == 2), "there is no transform of this length");
        require(kernel.shape[i] > 0 && kernel.shape[i] <= task_.tile[i], "the kernel must fit into a tile");
        require(task_.before[i] >= 0 && out.shape[i + 2] > 0 && x.shape[i + 2] > 0, "an axis has no voxel");
    }
}

Index FftJob::spectra_bytes() const {
    const Index numbers = task_.groups * task_.columns * task_.tile[0] * task_.channels * task_.filters;
    return numbers * 2 * static_cast<Index>(sizeof(float));
}

template <class Run>
void FftJob::share(std::atomic<Index>& next, Index total, Run run) {
    const auto scratch = allocate(static_cast<std::size_t>(thread_bytes()));
    for (Index item = next++; item < total; item = next++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        run(item, static_cast<float*>(scratch.get()));
    }
}

void FftJob::prepare() {
    share(next_kernel_, kernels_, [this](Index item, float* scratch) { unit_.prepare(task_, item, scratch); });
}

void FftJob::work() {
    share(next_, total_, [this](Index item, float* scratch) {
        unit_.run(task_, item, scratch);
        ++finished_;
    });
}

}  // namespace conv3d
