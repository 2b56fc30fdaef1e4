// The kernels' side of long tiles: tables of roots, and spectra.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "checks.hpp"
#include "fft_long_job.hpp"

namespace conv3d {

namespace {

constexpr Index longest = 512;  // of a tile: sizes multiplied with it stay far from overflow
constexpr Index together = 16;   // columns of an item: neighbours share what is fetched for them
const double pi = std::acos(-1.0);

// exp(i angle)
void append(std::vector<float>& to, double angle, double scale = 1) {
    to.push_back(static_cast<float>(scale * std::cos(angle)));
    to.push_back(static_cast<float>(scale * std::sin(angle)));
}

// The two factors that are nearest to one another; none if there are no such passes.
std::pair<Index, Index> factors(const FftLongUnit& unit, Index length) {
    for (Index a = static_cast<Index>(std::sqrt(static_cast<double>(length)) + 0.5); a > 0; --a)
        if (length % a == 0 && unit.known(a) && unit.known(length / a)) return {a, length / a};
    return {0, 0};
}

}  // namespace

bool knows_long_line(const FftLongUnit& unit, Index length) {
    return length > 0 && length <= longest && factors(unit, length).first > 0;
}

FftTables::FftTables(const FftLongUnit& unit, const Index (&tile)[3]) {
    for (int axis = 0; axis < 3; ++axis) {
        const Index length = axis == 2 ? tile[2] / 2 : tile[axis];
        require(knows_long_line(unit, length) && (axis < 2 || tile[2] % 2 == 0),
                "there is no transform of this length");
        const auto [a, b] = factors(unit, length);
        for (Index j = 0; j < b; ++j)
            for (Index c = 1; c < a; ++c)
                append(twiddles_[axis], -2 * pi * static_cast<double>(j * c) / static_cast<double>(length));
        lines_[axis] = {length, a, b, nullptr};
    }
    const double points = static_cast<double>(tile[0] * tile[1] * lines_[2].length);
    for (Index n = 0; n < lines_[2].length; ++n) {
        const double angle = pi * static_cast<double>(n) / static_cast<double>(tile[2]);
        append(twist_, angle);
        append(untwist_, -angle, 1 / points);
    }
}

void FftTables::describe(FftLongTask& task) const {
    for (int axis = 0; axis < 3; ++axis) {
        task.lines[axis] = lines_[axis];
        task.lines[axis].twiddles = twiddles_[axis].data();
    }
    task.twist = twist_.data();
    task.untwist = untwist_.data();
}

FftLongSpectra::FftLongSpectra(const FftLongUnit& unit, const FftLongSizes& sizes, const Array& kernel)
    : unit_(unit), tables_(unit, sizes.tile) {
    require(kernel.shape.size() == 5, "the kernel needs 5 axes");
    require(sizes.groups > 0 && kernel.shape[3] > 0 && kernel.shape[4] > 0 && kernel.shape[4] % sizes.groups == 0,
            "filters and groups do not fit together");
    tables_.describe(task_);
    task_.groups = sizes.groups;
    task_.channels = kernel.shape[3];
    task_.filters = kernel.shape[4] / sizes.groups;
    for (std::size_t i = 0; i < 3; ++i) {
        task_.tile[i] = sizes.tile[i];
        task_.taps[i] = kernel.shape[i];
        task_.dilation[i] = task_.taps[i] == 1 && sizes.dilation[i] > 0 ? 1 : sizes.dilation[i];
        require(task_.taps[i] > 0 && task_.dilation[i] > 0 && task_.taps[i] <= task_.tile[i] &&
                    task_.dilation[i] <= task_.tile[i] && (task_.taps[i] - 1) * task_.dilation[i] < task_.tile[i],
                "the kernel must fit into a tile");
        task_.extent[i] = (task_.taps[i] - 1) * task_.dilation[i] + 1;
    }
    task_.blocks = ceil_div(task_.lines[2].length, unit.lanes);
    task_.columns = task_.blocks * task_.tile[1];
    task_.pitch = task_.tile[1] * 2 * unit.lanes;
    task_.own_pitch = task_.pitch + unit.lanes * 2 * unit.lanes;
    task_.plane = task_.blocks * task_.pitch;
    task_.together = together;
    // Planes an even number of lines apart would crowd into a part of the cache.
    const Index numbers = static_cast<Index>(line / sizeof(float));
    task_.plane = (ceil_div(task_.plane, numbers) | 1) * numbers;
    task_.volume = task_.tile[0] * task_.plane;
    const Index pairs = task_.groups * task_.filters * task_.channels;
    require(pairs <= PTRDIFF_MAX / (task_.volume * 16), "too many kernels");

    kernel_.reserve(static_cast<std::size_t>(pairs * task_.taps[0] * task_.taps[1] * task_.taps[2]));
    for (Index filter = 0; filter < kernel.shape[4]; ++filter)
        for (Index c = 0; c < task_.channels; ++c)
            for (Index z = 0; z < task_.taps[0]; ++z)
                for (Index y = 0; y < task_.taps[1]; ++y)
                    for (Index x = 0; x < task_.taps[2]; ++x)
                        kernel_.push_back(static_cast<const float*>(
                            kernel.data)[z * kernel.strides[0] + y * kernel.strides[1] + x * kernel.strides[2] +
                                         c * kernel.strides[3] + filter * kernel.strides[4]]);
    task_.kernel = kernel_.data();
    planes_ = pairs * task_.extent[0];
    column_items_ = ceil_div(task_.columns, together);
    items_ = planes_ + task_.groups * column_items_;
    spectra_ = allocate(bytes());
    kernel_planes_ = allocate(planes_bytes());
    task_.spectra = static_cast<float*>(spectra_.get());
    task_.kernel_planes = static_cast<float*>(kernel_planes_.get());
}

Index FftLongSpectra::bytes() const {
    const Index pairs = task_.groups * task_.filters * task_.channels;
    return pairs * task_.tile[0] * task_.blocks * task_.pitch * static_cast<Index>(sizeof(float));
}

Index FftLongSpectra::planes_bytes() const { return planes_ * task_.plane * static_cast<Index>(sizeof(float)); }

void FftLongSpectra::prepare() {
    const auto scratch = allocate(unit_.scratch(task_) * static_cast<Index>(sizeof(float)));
    float* const at = static_cast<float*>(scratch.get());
    for (Index item = sequence_.take(); item < items_ && !sequence_.stopped(); item = sequence_.take()) {
        if (item < planes_)
            unit_.kernel_plane(task_, item, at);
        else if (sequence_.wait_for(planes_))
            unit_.kernel_columns(task_, (item - planes_) / column_items_, (item - planes_) % column_items_, at);
        else
            return;
        sequence_.done();
    }
}

void FftLongSpectra::release() {
    kernel_planes_.reset();
    kernel_ = {};
    task_.kernel_planes = nullptr;
    task_.kernel = nullptr;
}

}  // namespace conv3d
