#include "fft_job.hpp"

#include <algorithm>

#include "checks.hpp"

namespace conv3d {

namespace {

constexpr Index in_line = line / sizeof(float);

}  // namespace

FftJob::FftJob(const FftSpectra& spectra, const FftSizes& sizes, BoundaryTables boundary, const Array& x,
               const Array& bias, const Array& out)
    : unit_(spectra.unit()), boundary_(std::move(boundary)) {
    require(spectra.ready(), "the kernels are not transformed yet");
    static_cast<FftShape&>(task_) = spectra.shape();
    task_.spectra = spectra.values();
    std::copy(sizes.before, sizes.before + 3, task_.before);
    std::copy(sizes.stride, sizes.stride + 3, task_.stride);
    std::copy(sizes.dilation, sizes.dilation + 3, task_.dilation);
    check(x, bias, out);
    task_.boundary = boundary_.of(x.shape[2], x.shape[3], x.shape[4]);
    task_.x = static_cast<const float*>(x.data);
    task_.out = static_cast<float*>(out.data);
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    std::copy(x.shape.begin() + 2, x.shape.end(), task_.size);
    std::copy(out.shape.begin() + 2, out.shape.end(), task_.outputs);
    task_.batch = x.shape[0];
    // The spectrum of one channel is small, the sums of many filters are not: a few at a time stay near. With more
    // channels, to read their spectra again and again costs more.
    task_.filter_chunk = task_.channels == 1 ? std::min(task_.filters, unit_.lanes) : task_.filters;
    for (int axis = 0; axis < 3; ++axis) cut(axis);
    // Planes an odd number of lines apart spread over all sets of the cache.
    const Index lines = ceil_div(task_.columns * 2 * unit_.lanes, in_line);
    task_.pitch = (lines | 1) * in_line;
    task_.stop = &stop_;
    for (Index f = 0; bias.data && f < bias.shape[0]; ++f)
        bias_.push_back(static_cast<const float*>(bias.data)[f * bias.strides[0]]);
    task_.bias = bias.data ? bias_.data() : nullptr;
    total_ = task_.groups * ceil_div(task_.batch * task_.tiles[0] * task_.tiles[1] * task_.tiles[2], unit_.lanes);
}

// What keeps memory safe is checked here, and in cut().
void FftJob::check(const Array& x, const Array& bias, const Array& out) const {
    const Index filters = task_.groups * task_.filters;
    require(x.shape.size() == 5 && out.shape.size() == 5, "x and out need 5 axes");
    require(x.shape[1] == task_.groups * task_.channels && out.shape[1] == filters && out.shape[0] == x.shape[0] &&
                x.shape[0] > 0,
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == filters), "bias needs one value a filter");
    for (std::size_t i = 0; i < 3; ++i) {
        require_near({task_.before[i], task_.stride[i], task_.dilation[i]});
        require_near({product({out.shape[i + 2], task_.stride[i]})});
        require(task_.before[i] >= 0 && out.shape[i + 2] > 0 && x.shape[i + 2] > 0, "an axis has no voxel");
        require(task_.stride[i] > 0 && task_.dilation[i] > 0 && (task_.stride[i] == 1 || task_.dilation[i] == 1),
                "an axis has a stride or a dilation, not both");
    }
}

void FftJob::cut(int axis) {
    const Index tile = task_.tile[axis], stride = task_.stride[axis];
    const bool folds = tile % stride == 0 && unit_.known(tile / stride, axis == 2);
    task_.folds[axis] = folds ? stride : 1;
    task_.restored[axis] = tile / task_.folds[axis];
    task_.kept[axis] = (tile - task_.taps[axis]) / stride + 1;
    require(task_.folds[axis] == stride || task_.kept[axis] == 1, "there is no transform back for this stride");
    const Index of_phase = ceil_div(task_.outputs[axis], task_.dilation[axis]);
    // Phases beyond the last output have none.
    const Index phases = std::min(task_.dilation[axis], task_.outputs[axis]);
    task_.tiles[axis] = ceil_div(of_phase, task_.kept[axis]) * phases;
}

void FftJob::work() {
    const auto scratch = allocate(thread_bytes());
    for (Index item = next_++; item < total_; item = next_++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        unit_.run(task_, item, static_cast<float*>(scratch.get()));
        ++finished_;
    }
}

}  // namespace conv3d
