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

// One band of a row of the slab: entries low to high lie inside the input, the others in the padding.
struct Span {
    Index start, low, high, length;  // in the slab's row; what no output reads counts as padding
    Index from;                      // elements from the input's row to the entry at low
};

inline Span span_of(const Task& task, const Block& block, Index b) {
    const Axis& axis = task.axes[2];
    const Band& band = axis.bands[b];
    const Index count = entries(axis, band, block.count[2]);
    const Index begin = position(axis, band, block.first[2], 0);
    const Index low = begin < 0 ? least((axis.stride - 1 - begin) / axis.stride, count) : 0;
    const Index inside = begin < axis.size ? (axis.size - begin + axis.stride - 1) / axis.stride : 0;
    const Index end = b + 1 < axis.band_count ? axis.bands[b + 1].start : task.pitch;
    return {band.start, low, most(low, least(inside, count)), end - band.start,
            (begin + low * axis.stride) * task.x_strides[4]};
}

// Zeros before low and from high on, in whole vectors: what they cover between the two is to be written afterwards. A
// span begins and ends with a vector.
template <class T>
inline void clear_ends(T* row, const Span& span) {
    constexpr Index lanes = Simd<T>::lanes;
    const typename Simd<T>::Vector zero{};
    for (Index i = 0; i < span.low; i += lanes) store(row + i, zero);
    for (Index i = span.high / lanes * lanes; i < span.length; i += lanes) store(row + i, zero);
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
    for (const Span* span = spans; span < spans + count; ++span) {
        T* row = to + span->start;
        for (Index c = 0; c < channels; ++c) clear_ends(row + c * task.volume, *span);
        row += span->low;
        const Index inside = span->high - span->low;
        if (inside == 0) continue;
        if (step == 1 && channels == 1)
            copy_row(row, from + span->from, inside);
        else
            (across ? copy_strips<T> : copy_rows<T>)(row, task.volume, from + span->from, task.x_strides[1], step,
                                                     channels, inside);
    }
}

// All rows of some channels, but only some bands of each.
template <class T>
void pack_bands(const Task& task, const Block& block, const Span* spans, Index count, const T* x, Index channels,
                T* slab) {
    const Axis& depth = task.axes[0];
    const Axis& height = task.axes[1];
    const Index end = spans[count - 1].start + spans[count - 1].length;
    for (Index i = 0; i < depth.band_count; ++i) {
        const Band& planes = depth.bands[i];
        for (Index z = 0; z < entries(depth, planes, block.count[0]); ++z) {
            const Index at_z = position(depth, planes, block.first[0], z);
            for (Index j = 0; j < height.band_count; ++j) {
                const Band& rows = height.bands[j];
                for (Index y = 0; y < entries(height, rows, block.count[1]); ++y) {
                    const Index at_y = position(height, rows, block.first[1], y);
                    T* to = slab + (planes.start + z) * task.plane + (rows.start + y) * task.pitch;
                    if (at_z < 0 || at_z >= depth.size || at_y < 0 || at_y >= height.size)
                        for (Index c = 0; c < channels; ++c)
                            clear(to + c * task.volume + spans->start, end - spans->start);
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
