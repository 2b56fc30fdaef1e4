// The slab of a block: the part of the input that its outputs read, packed.
#pragma once

#include "pack.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

inline Index entries(const Axis& axis, const Band& band, Index count) { return band.length - (axis.block - count); }

inline Index position(const Axis& axis, const Band& band, Index first, Index entry) {
    return (first + entry) * axis.stride - axis.before + band.position;
}

// Whether neighbouring channels are nearer to each other than neighbours along a row, as in channels-last data.
inline bool channels_nearest(const Task& task) {
    return magnitude(task.x_strides[1]) < magnitude(task.axes[2].stride * task.x_strides[4]);
}

// One band of a row of the slab: entries low to high lie inside the input, the others up to used in the padding.
struct Span {
    Index start, low, high, used, length;  // in the slab's row; no output reads what is not used
    Index position;                        // of entry 0
    Index from;                            // elements from the input's row to the entry at low
    bool paired;                           // the next span's entries lie between this one's in the input
};

inline Span span_of(const Task& task, const Block& block, Index b) {
    const Axis& axis = task.axes[2];
    const Band& band = axis.bands[b];
    const Index count = entries(axis, band, block.count[2]);
    const Index begin = position(axis, band, block.first[2], 0);
    const Index low = begin < 0 ? least((axis.stride - 1 - begin) / axis.stride, count) : 0;
    const Index inside = begin < axis.size ? (axis.size - begin + axis.stride - 1) / axis.stride : 0;
    const Index end = b + 1 < axis.band_count ? axis.bands[b + 1].start : task.pitch;
    return {band.start,
            low,
            most(low, least(inside, count)),
            count,
            end - band.start,
            begin,
            (begin + low * axis.stride) * task.x_strides[4],
            false};
}

// With a stride of two, the entries of two spans may be neighbours in the input: both are read at once then.
template <class T>
inline void pair_spans(const Task& task, Span* spans, Index count) {
    if (task.axes[2].stride != 2 || task.x_strides[4] != 1) return;
    for (Index b = 0; b + 1 < count; ++b) {
        const Span &one = spans[b], &next = spans[b + 1];
        const bool enough = least(one.high, next.high) - most(one.low, next.low) >= Simd<T>::lanes;
        spans[b].paired = next.position == one.position + 1 && enough;
    }
}

// One value before low and from high on, in whole vectors: what they cover between the two is to be written afterwards.
// A span begins and ends with a vector.
template <class T>
inline void fill_ends(T* row, const Span& span, T fill) {
    constexpr Index lanes = Simd<T>::lanes;
    const typename Simd<T>::Vector value = spread(fill);
    for (Index i = 0; i < span.low; i += lanes) store(row + i, value);
    for (Index i = span.high / lanes * lanes; i < span.length; i += lanes) store(row + i, value);
}

// Voxels of the row's own, where the boundary has such, before low and from high on.
template <class T>
inline void mirror_ends(const Task& task, T* row, const Span& span, const T* from) {
    const Edge& edge = task.boundary.axes[2];
    const Index stride = task.axes[2].stride, step = task.x_strides[4];
    const T fill = static_cast<T>(task.boundary.fill);
    fill_outside(row, edge, span.position, stride, span.low, from, step, fill);
    fill_outside(row + span.high, edge, span.position + span.high * stride, stride, span.used - span.high, from, step,
                 fill);
}

// As memcpy, without its call.
template <class T>
inline void copy_row(T* to, const T* from, Index count) {
    constexpr Index lanes = Simd<T>::lanes;
    if (count < lanes) {
        for (Index i = 0; i < count; ++i) to[i] = from[i];
        return;
    }
    for (Index i = 0; i + lanes <= count; i += lanes) store(to + i, load(from + i));
    store(to + count - lanes, load(from + count - lanes));
}

// The voxels inside, of a span and of the next one, which is paired with it.
template <class T>
inline void copy_pair(const Span& one, const Span& next, const T* from, T* to) {
    const Index low = most(one.low, next.low), high = least(one.high, next.high);
    copy_apart(to + one.start + low, to + next.start + low, from + one.from + 2 * (low - one.low), high - low);
    for (const Span* const span : {&one, &next}) {
        const auto copy = [&](Index i) { to[span->start + i] = from[span->from + 2 * (i - span->low)]; };
        for (Index i = span->low; i < low; ++i) copy(i);
        for (Index i = high; i < span->high; ++i) copy(i);
    }
}

// One row of the slab, for some channels; `from` is the row of the input, at its position 0.
template <class T>
inline void pack_row(const Task& task, const Span* spans, Index count, const T* from, Index channels, T* to) {
    const Index step = task.axes[2].stride * task.x_strides[4];
    const bool across = channels > 1 && channels_nearest(task);
    const T fill = static_cast<T>(task.boundary.fill);
    for (const Span* span = spans; span < spans + count; ++span)
        for (Index c = 0; c < channels; ++c) fill_ends(to + span->start + c * task.volume, *span, fill);
    for (const Span* span = spans; span < spans + count; ++span) {
        T* row = to + span->start;
        if (span->paired && channels == 1) {
            copy_pair(*span, span[1], from, to);
            ++span;
            continue;
        }
        const Index inside = span->high - span->low;
        if (inside > 0 && step == 1 && channels == 1)
            copy_row(row + span->low, from + span->from, inside);
        else if (inside > 0)
            (across ? copy_strips<T> : copy_rows<T>)(row + span->low, task.volume, from + span->from,
                                                     task.x_strides[1], step, channels, inside);
    }
    if (!task.boundary.axes[2].places) return;
    for (const Span* span = spans; span < spans + count; ++span)
        for (Index c = 0; c < channels; ++c)
            mirror_ends(task, to + span->start + c * task.volume, *span, from + c * task.x_strides[1]);
}

// The first position that a block of so many outputs does not read, nor any after it.
inline Index end_position(const Axis& axis, Index first, Index count) {
    Index end = 0;
    for (const Band* band = axis.bands; band < axis.bands + axis.band_count; ++band)
        end = most(end, position(axis, *band, first, entries(axis, *band, count) - 1) + 1);
    return end;
}

// Calls `apply(entry of the slab's axis, position)` for what a block reads along an axis, in the order of the input.
template <class Apply>
inline void each_entry(const Axis& axis, Index first, Index count, Apply apply) {
    Index longest = 0;
    for (Index b = 0; b < axis.band_count; ++b) longest = most(longest, entries(axis, axis.bands[b], count));
    for (Index i = 0; i < longest; ++i)
        for (const Band* band = axis.bands; band < axis.bands + axis.band_count; ++band)
            if (i < entries(axis, *band, count)) apply(band->start + i, position(axis, *band, first, i));
}

// All rows of some channels, but only some bands of each. While a row is packed, the same row of the next plane is
// asked for, if the block reads that.
template <class T>
void pack_bands(const Task& task, const Block& block, const Span* spans, Index count, const T* x, Index channels,
                T* slab) {
    const Axis& depth = task.axes[0];
    const Axis& height = task.axes[1];
    const Edge* const edges = task.boundary.axes;
    const Index end = spans[count - 1].start + spans[count - 1].length;
    const Index last = least(end_position(depth, block.first[0], block.count[0]), depth.size) - 1;
    const Index voxels = task.x_strides[4] == 1 && channels == 1 ? (spans->high - spans->low) * task.axes[2].stride : 0;
    each_entry(depth, block.first[0], block.count[0], [&](Index z, Index z_position) {
        const Index at_z = source(edges[0], z_position);
        each_entry(height, block.first[1], block.count[1], [&](Index y, Index y_position) {
            const Index at_y = source(edges[1], y_position);
            T* to = slab + z * task.plane + y * task.pitch;
            if (at_z == outside || at_y == outside) {
                for (Index c = 0; c < channels; ++c)
                    flood(to + c * task.volume + spans->start, end - spans->start, static_cast<T>(task.boundary.fill));
                return;
            }
            const T* from = x + at_z * task.x_strides[2] + at_y * task.x_strides[3];
            if (z_position >= 0 && z_position < last) prefetch_row(from + task.x_strides[2] + spans->from, voxels);
            pack_row(task, spans, count, from, channels, to);
        });
    });
}

// The slab [channel][D][H][W] of one block; `x` is the input at the first channel of the chunk. Channels are taken one
// by one, so that memory is read in long runs, unless they lie side by side.
template <class T>
void pack_slab(const Task& task, const Block& block, const T* x, Index channels, T* slab) {
    constexpr Index most_spans = 8;
    Span spans[most_spans];
    const Index together = channels_nearest(task) ? channels : 1;
    for (Index first = 0; first < task.axes[2].band_count; first += most_spans) {
        const Index count = least(most_spans, task.axes[2].band_count - first);
        for (Index b = 0; b < count; ++b) spans[b] = span_of(task, block, first + b);
        pair_spans<T>(task, spans, count);
        for (Index c = 0; c < channels; c += together)
            pack_bands(task, block, spans, count, x + c * task.x_strides[1], together, slab + c * task.volume);
    }
    clear(slab + channels * task.volume, Simd<T>::lanes);  // the last vector of the last row may reach this far
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
