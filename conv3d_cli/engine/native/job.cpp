#include "job.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "memory.hpp"

namespace conv3d {

namespace {

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

}  // namespace

Job::Job(const Unit& unit, bool is_double, Layout layout, BoundaryTables boundary, const Array& x, const Array& kernel,
         const Array& bias, const Array& out)
    : unit_(unit), is_double_(is_double), layout_(std::move(layout)), boundary_(std::move(boundary)) {
    check(x, kernel, bias, out);
    task_.boundary = boundary_.of(x.shape[2], x.shape[3], x.shape[4]);
    task_.x = x.data;
    task_.out = out.data;
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    task_.batch = x.shape[0];
    task_.groups = layout_.groups;
    task_.channels = kernel.shape[3];
    task_.filters = kernel.shape[4] / layout_.groups;
    task_.channel_chunk = layout_.channel_chunk;
    task_.filter_chunk = layout_.filter_chunk;
    task_.filter_chunks = ceil_div(task_.filters, task_.filter_chunk);
    total_ = task_.batch * task_.groups * task_.filter_chunks;
    for (int i = 0; i < 3; ++i) {
        const AxisLayout& a = layout_.axes[i];
        task_.axes[i] = {a.size,   a.outputs, a.block, a.stride, a.before, a.extent, static_cast<Index>(a.slots.size()),
                         static_cast<Index>(a.bands.size()), a.bands.data(), a.slots.data()};
        task_.blocks[i] = ceil_div(a.outputs, a.block);
        total_ *= task_.blocks[i];
    }
    task_.pitch = layout_.pitch;
    task_.plane = layout_.plane;
    task_.volume = layout_.volume;
    if (out.strides[4] != 1) {
        task_.out_pitch = layout_.out_pitch;
        task_.out_plane = layout_.out_plane;
        task_.out_volume = layout_.out_volume;
    }
    task_.stream = layout_.stream;
    task_.stop = &stop_;
    plan_passes();
    const Index item_bytes = is_double_ ? 8 : 4;
    if (is_double_)
        pack_weights(kernel, weights_double_);
    else
        pack_weights(kernel, weights_float_);
    task_.weights = is_double_ ? static_cast<const void*>(weights_double_.data()) : weights_float_.data();
    if (bias.data) {
        bias_.resize(static_cast<std::size_t>(bias.shape[0] * item_bytes));
        for (Index f = 0; f < bias.shape[0]; ++f)
            std::memcpy(&bias_[static_cast<std::size_t>(f * item_bytes)],
                        static_cast<const char*>(bias.data) + f * bias.strides[0] * item_bytes,
                        static_cast<std::size_t>(item_bytes));
        task_.bias = bias_.data();
    }
}

// The layout comes from Python, and a wrong one would write anywhere: what keeps memory safe is checked here.
void Job::check(const Array& x, const Array& kernel, const Array& bias, const Array& out) const {
    const Layout& l = layout_;
    require(x.shape.size() == 5 && kernel.shape.size() == 5 && out.shape.size() == 5 && l.axes.size() == 3,
            "x, kernel and out need 5 axes, the layout 3");
    require(l.groups > 0 && x.shape[1] == kernel.shape[3] * l.groups && kernel.shape[4] % l.groups == 0 &&
                out.shape[1] == kernel.shape[4] && out.shape[0] == x.shape[0],
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == kernel.shape[4]), "bias needs one value a filter");
    require(l.channel_chunk > 0 && l.filter_chunk > 0 &&
                (l.filter_chunk % unit_.filters == 0 || l.filter_chunk >= kernel.shape[4] / l.groups),
            "chunks must be positive, those of filters whole blocks");
    const Index lanes = unit_.vector_bytes / (is_double_ ? 8 : 4);
    for (std::size_t i = 0; i < 3; ++i) {
        const AxisLayout& a = l.axes[i];
        require(a.size == x.shape[i + 2] && a.outputs == out.shape[i + 2] && a.outputs > 0 &&
                    static_cast<Index>(a.slots.size()) == kernel.shape[i],
                "an axis of the layout does not fit its arrays");
        require(a.block > 0 && a.block <= a.outputs && a.stride > 0, "block and stride must be positive");
        Index end = 0;
        for (const Band& band : a.bands) {
            require(band.start >= end && band.length >= a.block, "bands must not overlap");
            require(i < 2 || band.start % lanes == 0, "the bands of a row must begin with a vector");
            end = band.start + band.length;
        }
        require(end <= a.extent, "bands must lie within the slab");
        for (Index slot : a.slots) require(slot >= 0 && slot + a.block <= a.extent, "a tap lies outside of the slab");
    }
    require(l.pitch % lanes == 0 && l.out_pitch % lanes == 0, "rows must be whole vectors");
    require(l.pitch >= l.axes[2].extent && l.plane >= l.axes[1].extent * l.pitch &&
                l.volume >= l.axes[0].extent * l.plane,
            "the slab is too small for its axes");
    require(l.out_pitch >= l.axes[2].block && l.out_plane >= l.axes[1].block * l.out_pitch &&
                l.out_volume >= l.axes[0].block * l.out_plane,
            "the block of outputs is too small for its axes");
}

// Lists the columns of taps, and the place of each in the slab. With one filter the taps along H are cut into columns
// of nearly equal length; with several each tap is a column.
void Job::plan_passes() {
    const std::vector<Index>& h = layout_.axes[1].slots;
    const Index taps = static_cast<Index>(h.size());
    const Index pieces = layout_.columns ? ceil_div(taps, unit_.column) : taps;
    const Index longest = ceil_div(taps, pieces);
    const Index of_longest = taps - pieces * (longest - 1);
    task_.several[0] = {1, taps, nullptr};
    task_.one[0] = {longest, of_longest, nullptr};
    task_.one[1] = {longest - 1, pieces - of_longest, nullptr};
    Pass* const passes[3] = {&task_.several[0], &task_.one[0], &task_.one[1]};
    const Index firsts[3] = {0, 0, of_longest * longest};
    for (int i = 0; i < 3; ++i) {
        Pass& pass = *passes[i];
        for (Index c = 0; c < layout_.channel_chunk; ++c)
            for (Index z : layout_.axes[0].slots)
                for (Index x : layout_.axes[2].slots)
                    for (Index k = 0; k < pass.columns; ++k) {
                        const Index y = h[static_cast<std::size_t>(firsts[i] + k * pass.length)];
                        offsets_[i].push_back(c * layout_.volume + z * layout_.plane + y * layout_.pitch + x);
                    }
        pass.columns *= static_cast<Index>(layout_.axes[0].slots.size() * layout_.axes[2].slots.size());
        pass.offsets = offsets_[i].data();
    }
}

template <class T>
void Job::pack_pass(const Array& kernel, const Pass& pass, Index first, Index channel, Index channels, Index filter,
                    Index width, T*& to) const {
    const std::vector<Index>& s = kernel.strides;
    const Index pieces = pass.columns / (kernel.shape[0] * kernel.shape[2]);
    for (Index c = channel; c < channel + channels; ++c)
        for (Index z = 0; z < kernel.shape[0]; ++z)
            for (Index x = 0; x < kernel.shape[2]; ++x)
                for (Index y = first; y < first + pieces * pass.length; ++y) {
                    const T* from = static_cast<const T*>(kernel.data) + z * s[0] + y * s[1] + x * s[2] + c * s[3];
                    for (Index f = filter; f < filter + width; ++f) *to++ = from[f * s[4]];
                }
}

template <class T>
void Job::pack_weights(const Array& kernel, std::vector<T>& packed) const {
    Index count = 1;
    for (Index n : kernel.shape) count *= n;
    packed.resize(static_cast<std::size_t>(count));
    T* to = packed.data();
    const Index second = task_.one[0].length * (task_.one[0].columns / (kernel.shape[0] * kernel.shape[2]));
    for (Index group = 0; group < task_.groups; ++group)
        for (Index f = 0, width; f < task_.filters; f += width) {
            width = block_of_filters(task_.filters - f, unit_.filters);
            const Index filter = group * task_.filters + f;
            for (Index c = 0; c < task_.channels; c += task_.channel_chunk) {
                const Index channels = std::min(task_.channel_chunk, task_.channels - c);
                const Pass* passes = width == 1 ? task_.one : task_.several;
                pack_pass(kernel, passes[0], 0, c, channels, filter, width, to);
                if (passes[1].columns) pack_pass(kernel, passes[1], second, c, channels, filter, width, to);
            }
        }
}

void Job::work() {
    const Index lanes = unit_.vector_bytes / (is_double_ ? 8 : 4);
    const Index block = std::max(task_.filter_chunk * task_.out_volume, unit_.rows * whole_vectors(task_, lanes));
    const Index elements = task_.channel_chunk * task_.volume + lanes + block;
    const auto scratch = allocate(static_cast<std::size_t>(elements) * (is_double_ ? 8 : 4));
    const auto run = is_double_ ? unit_.run_double : unit_.run_float;
    for (Index item = next_++; item < total_; item = next_++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        run(task_, item, scratch.get());
        ++finished_;
    }
}

}  // namespace conv3d
