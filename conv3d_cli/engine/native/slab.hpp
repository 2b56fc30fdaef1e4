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
            (begin + low * axis.stride) * task.x_strides[4]};
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

// One row of the slab, for some channels; `from` is the row of the input, at its position 0.
template <class T>
inline void pack_row(const Task& task, const Span* spans, Index count, const T* from, Index channels, T* to) {
    const Index step = task.axes[2].stride * task.x_strides[4];
    const bool across = channels > 1 && channels_nearest(task);
    const T fill = static_cast<T>(task.boundary.fill);
    for (const Span* span = spans; span < spans + count; ++span) {
        T* row = to + span->start;
        for (Index c = 0; c < channels; ++c) fill_ends(row + c * task.volume, *span, fill);
        const Index inside = span->high - span->low;
        if (inside > 0 && step == 1 && channels == 1)
            copy_row(row + span->low, from + span->from, inside);
        else if (inside > 0)
            (across ? copy_strips<T> : copy_rows<T>)(row + span->low, task.volume, from + span->from,
                                                     task.x_strides[1], step, channels, inside);
        if (task.boundary.axes[2].places)
            for (Index c = 0; c < channels; ++c)
                mirror_ends(task, row + c * task.volume, *span, from + c * task.x_strides[1]);
    }
}

// All rows of some channels, but only some bands of each.
template <class T>
void pack_bands(const Task& task, const Block& block, const Span* spans, Index count, const T* x, Index channels,
                T* slab) {
    const Axis& depth = task.axes[0];
    const Axis& height = task.axes[1];
    const Edge* const edges = task.boundary.axes;
    const Index end = spans[count - 1].start + spans[count - 1].length;
    for (Index i = 0; i < depth.band_count; ++i) {
        const Band& planes = depth.bands[i];
        for (Index z = 0; z < entries(depth, planes, block.count[0]); ++z) {
            const Index at_z = source(edges[0], position(depth, planes, block.first[0], z));
            for (Index j = 0; j < height.band_count; ++j) {
                const Band& rows = height.bands[j];
                for (Index y = 0; y < entries(height, rows, block.count[1]); ++y) {
                    const Index at_y = source(edges[1], position(height, rows, block.first[1], y));
                    T* to = slab + (planes.start + z) * task.plane + (rows.start + y) * task.pitch;
                    if (at_z == outside || at_y == outside)
                        for (Index c = 0; c < channels; ++c)
                            flood(to + c * task.volume + spans->start, end - spans->start,
                                  static_cast<T>(task.boundary.fill));
                    else
                        pack_row(task, spans, count, x + at_z * task.x_strides[2] + at_y * task.x_strides[3], channels,
                                 to);
                }
            }
        }
    }
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
        for (Index c = 0; c < channels; c += together)
            pack_bands(task, block, spans, count, x + c * task.x_strides[1], together, slab + c * task.volume);
    }
    clear(slab + channels * task.volume, Simd<T>::lanes);  // the last vector of the last row may reach this far
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
