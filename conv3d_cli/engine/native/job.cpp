#include "job.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "checks.hpp"
#include "memory.hpp"

namespace conv3d {

namespace {

// A tile of a transform along D: one of those that `forward` and `inverse` are compiled for.
bool is_compiled(const ToomLayout& t) {
    const Index pairs = t.points / 2 - 1, least_step = t.points == 8 ? 4 : 2;
    return (t.points == 4 || t.points == 6 || t.points == 8) && t.step >= least_step && t.step < t.points &&
           static_cast<Index>(t.inputs.size()) == pairs * (pairs + 1) &&
           static_cast<Index>(t.outputs.size()) == pairs * t.step;
}

// The layout comes from Python, and a wrong one would write anywhere: what keeps memory safe is checked here.
Layout checked(const Unit& unit, bool is_double, Layout l, const Array& x, const Array& kernel, const Array& bias,
               const Array& out) {
    require(x.shape.size() == 5 && kernel.shape.size() == 5 && out.shape.size() == 5 && l.axes.size() == 3,
            "x, kernel and out need 5 axes, the layout 3");
    require_near({l.toom.points, l.toom.step});
    require(l.groups > 0 && x.shape[1] % l.groups == 0 && x.shape[1] / l.groups == kernel.shape[3] &&
                out.shape[1] % l.groups == 0 && kernel.shape[4] == product({l.toom.points, out.shape[1]}) &&
                out.shape[0] == x.shape[0],
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == out.shape[1]), "bias needs one value a filter");
    require(l.channel_chunk > 0 && l.filter_chunk > 0 &&
                (l.filter_chunk % unit.filters == 0 || l.filter_chunk >= out.shape[1] / l.groups),
            "chunks must be positive, those of filters whole blocks");
    require_near({l.pitch, l.plane, l.volume, l.out_pitch, l.out_plane, l.out_volume});
    l.channel_chunk = std::min(l.channel_chunk, std::max<Index>(kernel.shape[3], 1));
    l.filter_chunk = std::min(l.filter_chunk, std::max<Index>(out.shape[1] / l.groups, 1));
    const Index lanes = unit.vector_bytes / (is_double ? 8 : 4);
    for (std::size_t i = 0; i < 3; ++i) {
        const AxisLayout& a = l.axes[i];
        require_near({a.stride, a.before, a.extent, product({a.outputs, a.stride})});
        require(a.size == x.shape[i + 2] && a.outputs == out.shape[i + 2] && a.outputs > 0 &&
                    !a.slots.empty() && static_cast<Index>(a.slots.size()) == kernel.shape[i],
                "an axis of the layout does not fit its arrays");
        const Index step = i == 0 ? l.toom.step : 1;
        require(a.block > 0 && a.block < a.outputs + step && a.stride > 0, "block and stride must be positive");
        Index end = 0;
        for (const Band& band : a.bands) {
            require_near({band.position, band.start, band.length});
            require(band.start >= end && band.length >= a.block, "bands must not overlap");
            require(i < 2 || band.start % lanes == 0, "the bands of a row must begin with a vector");
            end = band.start + band.length;
        }
        require(end <= a.extent, "bands must lie within the slab");
        for (Index slot : a.slots) require(slot >= 0 && slot <= a.extent - a.block, "a tap lies outside of the slab");
    }
    if (l.toom.points != 1) {
        const AxisLayout& a = l.axes[0];
        require(is_compiled(l.toom) && a.block % l.toom.step == 0 && a.stride == 1 && a.slots == std::vector<Index>{0} &&
                    a.bands.size() == 1 && a.bands[0].start == 0 &&
                    a.bands[0].length == a.block + l.toom.points - l.toom.step,
                "a transform along D needs whole tiles, and planes for them");
        require(l.channel_chunk >= kernel.shape[3] && !l.stream,
                "a transform along D needs all channels in one chunk, and writes through the cache");
    } else {
        require(l.toom.step == 1, "without a transform a tile is one output");
    }
    require(l.pitch % lanes == 0 && l.out_pitch % lanes == 0, "rows must be whole vectors");
    require(l.pitch >= l.axes[2].extent && l.plane >= product({l.axes[1].extent, l.pitch}) &&
                l.volume >= product({l.axes[0].extent, l.plane}),
            "the slab is too small for its axes");
    require(l.out_pitch >= l.axes[2].block && l.out_plane >= product({l.axes[1].block, l.out_pitch}) &&
                l.out_volume >= product({l.axes[0].block, l.out_plane}),
            "the block of outputs is too small for its axes");
    require_near({product({l.channel_chunk, l.volume}), product({l.filter_chunk, l.out_volume})});
    return l;
}

std::vector<char> factors(const std::vector<double>& values, bool is_double) {
    std::vector<char> made(values.size() * (is_double ? 8 : 4));
    for (std::size_t i = 0; i < values.size(); ++i)
        if (is_double)
            std::memcpy(&made[8 * i], &values[i], 8);
        else {
            const float value = static_cast<float>(values[i]);
            std::memcpy(&made[4 * i], &value, 4);
        }
    return made;
}

// Whether every row begins at a line of the cache: a line that a row begins within is read before it is written, and
// then rows past the cache take twice as long as others.
bool begins_lines(const Array& rows, Index item_bytes) {
    constexpr Index line = 64;
    const auto at = reinterpret_cast<std::uintptr_t>(rows.data);
    return at % line == 0 && std::all_of(rows.strides.begin(), rows.strides.begin() + 4,
                                         [&](Index stride) { return stride * item_bytes % line == 0; });
}

}  // namespace

Job::Job(const Unit& unit, bool is_double, Layout layout, BoundaryTables boundary, const Array& x, const Array& kernel,
         const Array& bias, const Array& out)
    : unit_(unit),
      is_double_(is_double),
      layout_(checked(unit, is_double, std::move(layout), x, kernel, bias, out)),
      boundary_(std::move(boundary)),
      taps_(unit, is_double, layout_, kernel) {
    task_.boundary = boundary_.of(x.shape[2], x.shape[3], x.shape[4]);
    task_.x = x.data;
    task_.out = out.data;
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    task_.batch = x.shape[0];
    task_.groups = layout_.groups;
    task_.channels = kernel.shape[3];
    task_.filters = out.shape[1] / layout_.groups;
    task_.channel_chunk = layout_.channel_chunk;
    task_.filter_chunk = layout_.filter_chunk;
    task_.filter_chunks = ceil_div(task_.filters, task_.filter_chunk);
    task_.filter_blocks = blocks_of_filters(task_.filters, unit_.filters);
    task_.channel_chunks = ceil_div(task_.channels, task_.channel_chunk);
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
    task_.stop = &stop_;
    task_.taps = taps_.all();
    task_.left_out = taps_.left_out();
    task_.folded = taps_.folded();
    const Index item_bytes = is_double_ ? 8 : 4;
    task_.stream = layout_.stream && begins_lines(out, item_bytes);
    inputs_ = factors(layout_.toom.inputs, is_double_);
    outputs_ = factors(layout_.toom.outputs, is_double_);
    task_.toom = {layout_.toom.points, layout_.toom.step, inputs_.data(), outputs_.data()};
    if (bias.data) {
        bias_.resize(static_cast<std::size_t>(bias.shape[0] * item_bytes));
        for (Index f = 0; f < bias.shape[0]; ++f)
            std::memcpy(&bias_[static_cast<std::size_t>(f * item_bytes)],
                        static_cast<const char*>(bias.data) + f * bias.strides[0] * item_bytes,
                        static_cast<std::size_t>(item_bytes));
        task_.bias = bias_.data();
    }
}

void Job::work() {
    const Index lanes = unit_.vector_bytes / (is_double_ ? 8 : 4);
    const Index block = std::max(task_.filter_chunk * task_.out_volume,
                                 rows_of_all_filters(unit_) * whole_vectors(task_, lanes));
    const Index toom = toom_values(task_, lanes) + toom_sums(task_, lanes, rows_of_all_filters(unit_));
    const Index elements = task_.channel_chunk * task_.volume + lanes + toom + block;
    const auto scratch = allocate(elements * (is_double_ ? 8 : 4));
    const auto run = is_double_ ? unit_.run_double : unit_.run_float;
    for (Index item = next_++; item < total_; item = next_++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        run(task_, item, scratch.get());
        ++finished_;
    }
}

}  // namespace conv3d
