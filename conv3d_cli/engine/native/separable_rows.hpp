// The first stage of separable_kernel.cpp: copies the planes of a row side by side and sums them along D, into the ring.
#pragma once

#include "separable_ends.hpp"
#include "separable_tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr Index planes_ahead = 4;  // rows asked for ahead of their turn; more would fall out of the cache again

// What one item works on: its place, and its part of the scratch.
template <class T>
struct Tile3 {
    const SeparableTask& task;
    const T* x;  // batch entry, channel 0 of the group
    T* out;      // batch entry and filter
    const T* weights[3];
    const Index* channel;
    Block block;
    Index low, high;  // columns of the input that are read
    Index vectors;    // that they fill
    Index shift;      // elements of a line before the first that an output reads, so that column `low` is aligned
    Index margin;     // elements of a line before column `low`
    const double* around;  // of each term, as in the task
    T *slab, *ring, *lines, *doubled, *kept, *constant;
    const T** planes;  // of the slab, or those that hold the same, or the constant around
    Index* copied;     // the planes of the input that they are copies of, or `outside` where nothing is to be copied
    const T** rows;
    End ends[2];  // of the lines, before and after the volume
};

inline Index reach(const SeparableTask& task, int axis) { return (task.taps[axis] - 1) * task.dilation[axis]; }

// The position of the first voxel that an output reads.
inline Index position(const SeparableTask& task, int axis, Index output) {
    return output * task.strides[axis] - task.before[axis];
}

inline Index planes_of(const SeparableTask& task, Index outputs) {
    return (outputs - 1) * task.strides[0] + reach(task, 0) + 1;
}

// Outputs that can be summed at once: their taps must fall on common rows.
inline Index at_once(const SeparableTask& task, int axis, Index left) {
    if (task.box[axis]) return separable_step;
    if (task.strides[axis] != task.dilation[axis]) return 1;
    return left >= column_rows ? column_rows : left >= 2 ? 2 : 1;
}

template <class T>
void sum_columns(const SeparableTask& task, int axis, Index outputs, const ColumnSum<T>& sum) {
    (task.box[axis] ? box_sum<T> : column_sum_of<T>(outputs, task.taps[axis]))(sum);
}

// Row `y` of all input planes that the item reads, side by side; `first` is the first of them.
template <class T>
void pack(const Tile3<T>& tile, Index channel, Index y, Index first, Index planes) {
    const SeparableTask& task = tile.task;
    const Index* s = task.x_strides;
    const T* from = tile.x + channel * s[1] + y * s[3] + tile.low * s[4];
    const Index count = tile.high - tile.low, rest = tile.vectors * Simd<T>::lanes - count;
    const Edge& edge = task.boundary.axes[0];
    const Index begin = most(-edge.before - first, 0), end = least(planes, task.size[0] + edge.after - first);
    for (Index p = begin; p < end; ++p) {
        if (tile.copied[p] == outside) continue;
        T* to = tile.slab + p * task.pitch;
        const Index ahead = p + planes_ahead, next = ahead < end ? ahead : begin + ahead - end;
        if (s[4] == 1 && next < end && tile.copied[next] != outside && (ahead < end || y + 1 < task.size[1]))
            prefetch_row(from + (ahead < end ? 0 : s[3]) + tile.copied[next] * s[2], count);
        copy_rows(to, 0, from + tile.copied[p] * s[2], 0, s[4], 1, count);
        clear(to + count, rest);
    }
}

inline Index ring_slot(const SeparableTask& task, Index row) {
    return (row + task.boundary.axes[1].before) % task.ring_rows;
}

template <class T>
T* ring_row(const Tile3<T>& tile, Index term, Index plane, Index slot) {
    const SeparableTask& task = tile.task;
    return tile.ring + ((term * task.ring_planes + plane) * task.ring_rows + slot) * task.pitch;
}

// The sums along D for the row at position `row`, of every term, are those of row `same` of the ring.
template <class T>
void repeat_row(const Tile3<T>& tile, Index row, Index same) {
    const SeparableTask& task = tile.task;
    const auto bytes = static_cast<std::size_t>(tile.vectors * Simd<T>::lanes) * sizeof(T);
    for (Index t = 0; t < task.terms; ++t)
        for (Index z = 0; z < tile.block.count[0]; ++z)
            __builtin_memcpy(ring_row(tile, t, z, ring_slot(task, row)), ring_row(tile, t, z, ring_slot(task, same)),
                             bytes);
}

// The sums along D for the row at position `row`, of every term. Rows low to high of the input are in the ring.
template <class T>
void fill_row(const Tile3<T>& tile, Index row, Index low, Index high) {
    const SeparableTask& task = tile.task;
    const Index first = position(task, 0, tile.block.first[0]), outputs = tile.block.count[0];
    const Index y = source(task.boundary.axes[1], row);
    if (y != row && y >= low && y < high) return repeat_row(tile, row, y);
    const Index planes = planes_of(task, outputs);
    ColumnSum<T> sum{};
    sum.rows = tile.rows;
    sum.terms = 1;
    sum.taps = task.taps[0];
    sum.vectors = tile.vectors;
    sum.out_row = task.ring_rows * task.pitch;
    for (Index t = 0; t < task.terms; ++t) {
        if (y != outside && (t == 0 || tile.channel[t] != tile.channel[t - 1]))
            pack(tile, tile.channel[t], y, first, planes);
        sum.weights = tile.weights[0] + t * task.taps[0];
        for (Index z = 0, some; z < outputs; z += some) {
            some = at_once(task, 0, outputs - z);
            for (Index r = 0; r < task.taps[0] + some - 1; ++r) {
                const Index p = z * task.strides[0] + r * task.dilation[0];
                tile.rows[r] = y != outside && p < planes ? tile.planes[p] : tile.constant;
            }
            sum.out = ring_row(tile, t, z, ring_slot(task, row));
            sum_columns(task, 0, some, sum);
        }
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
