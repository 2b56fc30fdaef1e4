#include "fft_long_job.hpp"

#include <algorithm>
#include <thread>

#include "checks.hpp"
#include "units.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace conv3d {

CONV3D_UNITS(FftLongUnit, fft_long_unit, find_fft_long_unit)

namespace {

constexpr int spins = 2000;  // as long as it takes to wake a thread

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#endif
}

}  // namespace

bool Sequence::wait_for(Index items) const {
    for (int spin = 0; finished_.load(std::memory_order_acquire) < items; ++spin) {
        if (stopped()) return false;
        if (spin < spins)
            pause();
        else
            std::this_thread::yield();
    }
    return !stopped();
}

FftLongJob::FftLongJob(const FftLongSpectra& spectra, const FftLongSizes& sizes, BoundaryTables boundary,
                       const Array& x, const Array& bias, const Array& out)
    : unit_(spectra.unit()), boundary_(std::move(boundary)), task_(spectra.task()) {
    require(spectra.ready(), "the kernels' spectra are not ready");
    std::copy(sizes.before, sizes.before + 3, task_.before);
    std::copy(sizes.stride, sizes.stride + 3, task_.stride);
    task_.chunk = std::min(sizes.chunk, task_.filters);
    check(x, bias, out);
    task_.boundary = boundary_.of(x.shape[2], x.shape[3], x.shape[4]);
    task_.x = static_cast<const float*>(x.data);
    task_.out = static_cast<float*>(out.data);
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    task_.batch = x.shape[0];
    volumes_ = task_.batch * task_.groups;
    for (std::size_t i = 0; i < 3; ++i) {
        const Index size = task_.size[i] = x.shape[i + 2], outputs = task_.outputs[i] = out.shape[i + 2];
        const Index tile = task_.tile[i], before = task_.before[i];
        const Index read = (outputs - 1) * task_.stride[i] + task_.extent[i];
        // One tile may serve an axis although not all of its padding finds room: beyond the end it wraps round to what
        // lies before the volume, which serves where both are zeros.
        const Index room = task_.boundary.is_zero ? before : 0;
        const bool whole = before + size <= tile && read - tile <= room && read - task_.extent[i] < tile;
        task_.kept[i] = whole ? outputs : std::min((tile - task_.extent[i]) / task_.stride[i] + 1, outputs);
        task_.tiles[i] = ceil_div(outputs, task_.kept[i]);
        volumes_ *= task_.tiles[i];
    }
    // Where the filters are restored in turns, the channels' frequencies must outlast each of them.
    chunks_ = ceil_div(task_.filters, task_.chunk);
    task_.first_filter = chunks_ > 1 ? task_.channels : 0;
    for (Index f = 0; bias.data && f < bias.shape[0]; ++f)
        bias_.push_back(static_cast<const float*>(bias.data)[f * bias.strides[0]]);
    task_.bias = bias.data ? bias_.data() : nullptr;
    buffer_ = allocate(buffer_bytes());
    task_.buffer = static_cast<float*>(buffer_.get());
    forward_ = task_.channels * task_.tile[0];
    columns_ = ceil_div(task_.columns, task_.together);
    restored_ = task_.chunk * task_.kept[0];
    per_tile_ = forward_ + chunks_ * (columns_ + restored_);
    total_ = volumes_ * per_tile_;
}

// What keeps memory safe is checked here, and where the spectra are made.
void FftLongJob::check(const Array& x, const Array& bias, const Array& out) const {
    require(x.shape.size() == 5 && out.shape.size() == 5, "x and out need 5 axes");
    const Index filters = task_.groups * task_.filters;
    require(x.shape[0] > 0 && x.shape[1] == task_.groups * task_.channels && out.shape[0] == x.shape[0] &&
                out.shape[1] == filters,
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == filters), "bias needs one value a filter");
    require(task_.chunk > 0, "filters must be restored in blocks of one at least");
    for (std::size_t i = 0; i < 3; ++i) {
        require_near({task_.before[i], task_.stride[i], product({out.shape[i + 2], task_.stride[i]})});
        require(task_.before[i] >= 0 && out.shape[i + 2] > 0 && x.shape[i + 2] > 0, "an axis has no voxel");
        require(task_.stride[i] > 0, "strides must be positive");
    }
}

Index FftLongJob::buffer_bytes() const {
    const Index slots = chunks_ > 1 ? task_.channels + task_.chunk : std::max(task_.channels, task_.filters);
    return slots * task_.volume * static_cast<Index>(sizeof(float));
}

Index FftLongJob::thread_bytes() const { return unit_.scratch(task_) * static_cast<Index>(sizeof(float)); }

FftPlace FftLongJob::place(Index tile) const {
    FftPlace place{};
    Index at[3];
    for (int i = 2; i >= 0; --i) {
        at[i] = tile % task_.tiles[i] * task_.kept[i];
        tile /= task_.tiles[i];
    }
    const Index entry = tile / task_.groups;
    place.group = tile % task_.groups;
    place.x = task_.x + entry * task_.x_strides[0] + place.group * task_.channels * task_.x_strides[1];
    place.out = task_.out + entry * task_.out_strides[0] + place.group * task_.filters * task_.out_strides[1];
    for (int i = 0; i < 3; ++i) {
        const Index first = at[i] * task_.stride[i] - task_.before[i];
        const Edge& edge = task_.boundary.axes[i];
        place.first[i] = first;
        place.low[i] = std::min(std::max<Index>(-edge.before - first, 0), task_.tile[i]);
        place.high[i] = std::min(std::max(edge.size + edge.after - first, place.low[i]), task_.tile[i]);
        place.count[i] = std::min(task_.kept[i], task_.outputs[i] - at[i]);
        place.x += first * task_.x_strides[i + 2];
        place.out += at[i] * task_.out_strides[i + 2];
    }
    return place;
}

// One item of a tile, whose first item has so many before it.
void FftLongJob::run(const FftPlace& place, Index item, Index before, float* scratch) {
    if (item < forward_) {
        if (sequence_.wait_for(before))
            unit_.forward_plane(task_, place, item / task_.tile[0], item % task_.tile[0], scratch);
        return;
    }
    const Index both = columns_ + restored_, chunk = (item - forward_) / both;
    const Index begun = before + forward_ + chunk * both, left = (item - forward_) % both, first = chunk * task_.chunk;
    if (left < columns_) {
        if (sequence_.wait_for(begun)) unit_.columns(task_, place, first, left, scratch);
        return;
    }
    const Index slot = (left - columns_) / task_.kept[0], z = (left - columns_) % task_.kept[0];
    if (sequence_.wait_for(begun + columns_) && first + slot < task_.filters)
        unit_.backward_plane(task_, place, first + slot, slot, z, scratch);
}

void FftLongJob::work() {
    const auto scratch = allocate(thread_bytes());
    for (Index item = sequence_.take(); item < total_ && !sequence_.stopped(); item = sequence_.take()) {
        const Index tile = item / per_tile_;
        run(place(tile), item % per_tile_, tile * per_tile_, static_cast<float*>(scratch.get()));
        sequence_.done();
    }
}

}  // namespace conv3d
