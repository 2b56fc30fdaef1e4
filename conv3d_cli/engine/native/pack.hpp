// Copies between arrays of any strides and the contiguous rows that the tiles work on.
#pragma once

#include "transpose.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr Index strip = 16;  // voxels transposed at a time, so that both sides stay in the first-level cache

inline Index magnitude(Index n) { return n < 0 ? -n : n; }
inline Index least(Index a, Index b) { return a < b ? a : b; }
inline Index most(Index a, Index b) { return a > b ? a : b; }

// A block: its first output and its outputs, along each axis.
struct Block {
    Index first[3];
    Index count[3];
};

inline Index entries(const Axis& axis, const Band& band, Index count) { return band.length - (axis.block - count); }

inline Index position(const Axis& axis, const Band& band, Index first, Index entry) {
    return (first + entry) * axis.stride - axis.before + band.position;
}

template <class T>
inline void clear(T* to, Index count) {
    if (count > 0) __builtin_memset(to, 0, static_cast<std::size_t>(count) * sizeof(T));
}

// Row by row: right where neighbours along the row are nearest to each other in memory.
template <class T>
inline void copy_rows(T* to, Index to_row, const T* from, Index from_row, Index step, Index rows, Index count) {
    for (Index r = 0; r < rows; ++r, to += to_row, from += from_row) {
        if (step == 1) {
            __builtin_memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
        } else if (step == 2) {
            for (Index i = 0; i < count; ++i) to[i] = from[2 * i];
        } else {
            for (Index i = 0; i < count; ++i) to[i] = from[i * step];
        }
    }
}

// The same, strip by strip: right where the rows are nearer to each other than the neighbours in a row.
template <class T>
inline void copy_strips(T* to, Index to_row, const T* from, Index from_row, Index step, Index rows, Index count) {
    for (Index begin = 0; begin < count; begin += strip) {
        const Index end = least(begin + strip, count);
        if (from_row == 1)
            transpose(to + begin, to_row, from + begin * step, step, end - begin, rows);
        else
            for (Index r = 0; r < rows; ++r)
                for (Index i = begin; i < end; ++i) to[r * to_row + i] = from[r * from_row + i * step];
    }
}

// Asks for a row of the input ahead of its turn: the hardware does not see the next plane coming.
template <class T>
inline void prefetch_row(const T* from, Index count) {
    for (Index i = 0; i < count; i += 64 / static_cast<Index>(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

// Whether neighbouring channels are nearer to each other than neighbours along a row, as in channels-last data.
inline bool channels_nearest(const Task& task) {
    return magnitude(task.x_strides[1]) < magnitude(task.axes[2].stride * task.x_strides[4]);
}

// One row of the slab, for some channels; `from` is the row of the input, at its position 0.
template <class T>
void pack_row(const Task& task, const Block& block, const T* from, Index channels, T* to) {
    const Axis& axis = task.axes[2];
    const Index step = axis.stride * task.x_strides[4];
    const bool across = channels > 1 && channels_nearest(task);
    for (Index b = 0; b < axis.band_count; ++b) {
        const Band& band = axis.bands[b];
        const Index count = entries(axis, band, block.count[2]);
        const Index begin = position(axis, band, block.first[2], 0);
        // Entries low to high lie inside the input, the others in the padding.
        const Index low = begin < 0 ? least((axis.stride - 1 - begin) / axis.stride, count) : 0;
        const Index inside = begin < axis.size ? (axis.size - begin + axis.stride - 1) / axis.stride : 0;
        const Index high = most(low, least(inside, count));
        const Index end = b + 1 < axis.band_count ? axis.bands[b + 1].start : task.pitch;
        T* row = to + band.start;
        for (Index c = 0; c < channels; ++c) {
            clear(row + c * task.volume, low);
            clear(row + c * task.volume + high, end - band.start - high);
        }
        if (high == low) continue;
        if (step == 1 && channels == 1) prefetch_row(from + begin + low + task.x_strides[2], high - low);
        (across ? copy_strips<T> : copy_rows<T>)(row + low, task.volume,
                                                 from + (begin + low * axis.stride) * task.x_strides[4],
                                                 task.x_strides[1], step, channels, high - low);
    }
}

// All rows of some channels.
template <class T>
void pack_channels(const Task& task, const Block& block, const T* x, Index channels, T* slab) {
    const Axis& depth = task.axes[0];
    const Axis& height = task.axes[1];
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
                        for (Index c = 0; c < channels; ++c) clear(to + c * task.volume, task.pitch);
                    else
                        pack_row(task, block, x + at_z * task.x_strides[2] + at_y * task.x_strides[3], channels, to);
                }
            }
        }
    }
}

// The slab [channel][D][H][W] of one block; `x` is the input at the first channel of the chunk. Channels are taken one
// by one, so that memory is read in long runs, unless they lie side by side.
template <class T>
void pack_slab(const Task& task, const Block& block, const T* x, Index channels, T* slab) {
    const Index together = channels_nearest(task) ? channels : 1;
    for (Index c = 0; c < channels; c += together)
        pack_channels(task, block, x + c * task.x_strides[1], together, slab + c * task.volume);
    clear(slab + channels * task.volume, Simd<T>::lanes);  // the last vector of the last row may reach this far
}

// The block of outputs, kept as [filter][D][H][W], to an output of any strides.
template <class T>
void unpack_block(const Task& task, const Block& block, const T* kept, Index filters, T* out) {
    const Index* to = task.out_strides;
    for (Index z = 0; z < block.count[0]; ++z)
        for (Index y = 0; y < block.count[1]; ++y) {
            const T* from = kept + z * task.out_plane + y * task.out_pitch;
            T* row = out + z * to[2] + y * to[3];
            for (Index begin = 0; begin < block.count[2]; begin += strip) {
                const Index end = least(begin + strip, block.count[2]);
                if (to[1] == 1) {
                    transpose(row + begin * to[4], to[4], from + begin, task.out_volume, filters, end - begin);
                } else if (magnitude(to[1]) < magnitude(to[4])) {
                    for (Index x = begin; x < end; ++x)
                        for (Index f = 0; f < filters; ++f) row[f * to[1] + x * to[4]] = from[f * task.out_volume + x];
                } else {
                    for (Index f = 0; f < filters; ++f)
                        for (Index x = begin; x < end; ++x) row[f * to[1] + x * to[4]] = from[f * task.out_volume + x];
                }
            }
        }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
