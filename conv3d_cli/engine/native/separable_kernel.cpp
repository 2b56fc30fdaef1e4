// One tile of a separable convolution, from its first output plane to its last. Compiled once per instruction set.

#include "separable.hpp"

#include "pack.hpp"
#include "separable_tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

// What one item works on: its place, and its part of the scratch.
template <class T>
struct Tile3 {
    const SeparableTask& task;
    const T* x;  // batch entry, channel 0 of the group
    T* out;      // batch entry and filter
    const T* weights[3];
    const Index* channel;
    T start;  // the bias
    Block block;
    T *slab, *lines, *ring, *zeros, *kept;
    const T **planes, **rows;
};

inline Index reach(const SeparableTask& task, int axis) { return (task.taps[axis] - 1) * task.dilation[axis]; }

// Outputs that can be summed at once: their taps must fall on common rows, and each must have rows of its own.
inline Index at_once(const SeparableTask& task, int axis, Index left) {
    if (task.strides[axis] != task.dilation[axis]) return 1;
    Index rows = separable_rows;
    while (rows > left || rows > task.taps[axis]) rows /= 2;
    return rows;
}

// The rows and columns of one input plane that the tile reads, zeros where they leave the volume.
template <class T>
void pack_plane(const Tile3<T>& tile, Index channel, Index position) {
    const SeparableTask& task = tile.task;
    const Index* s = task.x_strides;
    const Index top = tile.block.first[1] * task.strides[1] - task.before[1];
    const Index left = tile.block.first[2] - task.before[2];
    const Index rows = (tile.block.count[1] - 1) * task.strides[1] + reach(task, 1) + 1;
    const Index first = most(-top, 0), end = most(least(rows, task.size[1] - top), first);
    const Index begin = least(most(-left, 0), task.wide), stop = most(least(task.wide, task.size[2] - left), begin);
    clear(tile.slab, least(first, rows) * task.wide);
    if (end < rows) clear(tile.slab + end * task.wide, (rows - end) * task.wide);
    if (first >= rows) return;
    T* to = tile.slab + first * task.wide;
    const T* from = tile.x + channel * s[1] + position * s[2] + (top + first) * s[3] + (left + begin) * s[4];
    for (Index r = 0; r < end - first; ++r) {
        clear(to + r * task.wide, begin);
        clear(to + r * task.wide + stop, task.wide - stop);
    }
    if (stop == begin) return;
    const bool strips = magnitude(s[3]) < magnitude(s[4]);
    (strips ? copy_strips<T> : copy_rows<T>)(to + begin, task.wide, from, s[3], s[4], end - first, stop - begin);
}

// All vectors of a few outputs across the rows in `rows`.
template <class T>
void across(ColumnSum<T> sum, Index count, Index columns, T* out) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index vectors = (columns + lanes - 1) / lanes, first = sum.at;
    for (Index v = 0, some; v < vectors; v += some) {
        some = vectors - v >= column_vectors ? column_vectors : 1;
        sum.at = first + v * lanes;
        sum.out = out + v * lanes;
        sum.tail = least(columns - (v + some - 1) * lanes, lanes);
        column_sum_of<T, separable_rows>(count, some)(sum);
    }
}

template <class T>
void along(const SeparableTask& task, const T* line, const T* weights, T* to) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index vectors = task.pitch / lanes, step = task.dilation[2], taps = task.taps[2];
    Index v = 0;
    for (; v + 4 <= vectors; v += 4) row_sum<T, 4>(line + v * lanes, step, weights, taps, to + v * lanes);
    for (; v < vectors; ++v) row_sum<T, 1>(line + v * lanes, step, weights, taps, to + v * lanes);
}

// Sums the packed plane along H, a few rows at a time, and those rows along W into a plane of the ring.
template <class T>
void sum_plane(const Tile3<T>& tile, Index term, T* to) {
    const SeparableTask& task = tile.task;
    ColumnSum<T> sum{};
    sum.rows = tile.rows;
    sum.weights = tile.weights[1] + term * task.taps[1];
    sum.terms = 1;
    sum.taps = task.taps[1];
    sum.out_row = task.wide;
    for (Index y = 0, count; y < tile.block.count[1]; y += count) {
        count = at_once(task, 1, tile.block.count[1] - y);
        for (Index r = 0; r < task.taps[1] + count - 1; ++r)
            tile.rows[r] = tile.slab + (y * task.strides[1] + r * task.dilation[1]) * task.wide;
        across(sum, count, task.wide, tile.lines);
        for (Index i = 0; i < count; ++i)
            along(task, tile.lines + i * task.wide, tile.weights[2] + term * task.taps[2], to + (y + i) * task.pitch);
    }
}

template <class T>
T* ring_plane(const Tile3<T>& tile, Index term, Index position) {
    return tile.ring + (term * tile.task.ring + position % tile.task.ring) * tile.task.plane;
}

// Every term of the input planes from `first` up to `end`; planes outside of the volume are zero and not kept.
template <class T>
void fill_ring(const Tile3<T>& tile, Index first, Index end) {
    for (Index p = most(first, 0); p < least(end, tile.task.size[0]); ++p)
        for (Index t = 0; t < tile.task.terms; ++t) {
            if (t == 0 || tile.channel[t] != tile.channel[t - 1]) pack_plane(tile, tile.channel[t], p);
            sum_plane(tile, t, ring_plane(tile, t, p));
        }
}

// `count` output planes from `z` on, out of the ring.
template <class T>
void sum_ring(const Tile3<T>& tile, Index z, Index count) {
    const SeparableTask& task = tile.task;
    const Index* o = task.out_strides;
    ColumnSum<T> sum{};
    sum.rows = tile.planes;
    sum.rows_of_term = task.taps[0] + separable_rows;
    sum.weights = tile.weights[0];
    sum.terms = task.terms;
    sum.taps = task.taps[0];
    sum.start = tile.start;
    for (Index t = 0; t < task.terms; ++t)
        for (Index r = 0; r < task.taps[0] + count - 1; ++r) {
            const Index p = z * task.strides[0] + r * task.dilation[0] - task.before[0];
            const bool inside = p >= 0 && p < task.size[0];
            tile.planes[t * sum.rows_of_term + r] = inside ? ring_plane(tile, t, p) : tile.zeros;
        }
    const Index columns = tile.block.count[2];
    for (Index y = 0; y < tile.block.count[1]; ++y) {
        T* out = tile.out + z * o[2] + (tile.block.first[1] + y) * o[3] + tile.block.first[2] * o[4];
        sum.at = y * task.pitch;
        sum.out_row = o[4] == 1 ? o[2] : task.pitch;
        across(sum, count, columns, o[4] == 1 ? out : tile.kept);
        if (o[4] == 1) continue;
        for (Index i = 0; i < count; ++i)
            for (Index v = 0; v < columns; ++v) out[i * o[2] + v * o[4]] = tile.kept[i * task.pitch + v];
    }
}

template <class T>
void march(const Tile3<T>& tile) {
    const SeparableTask& task = tile.task;
    const Index first = tile.block.first[0], end = first + tile.block.count[0];
    Index filled = first * task.strides[0] - task.before[0];
    for (Index z = first, count; z < end; z += count) {
        if (__atomic_load_n(task.stop, __ATOMIC_RELAXED)) return;
        count = at_once(task, 0, end - z);
        const Index needed = (z + count - 1) * task.strides[0] - task.before[0] + reach(task, 0) + 1;
        fill_ring(tile, filled, needed);
        filled = most(filled, needed);
        sum_ring(tile, z, count);
    }
}

// Item number -> batch entry, filter, block: the last varies fastest.
template <class T>
void run(const SeparableTask& task, Index item, void* elements, void* pointers) {
    Block block;
    for (int axis = 2; axis >= 0; --axis) {
        block.first[axis] = item % task.blocks[axis] * task.tile[axis];
        block.count[axis] = least(task.tile[axis], task.outputs[axis] - block.first[axis]);
        item /= task.blocks[axis];
    }
    const Index filter = item % task.filters, entry = item / task.filters;
    const Index group = filter / task.filters_of_group;
    const T* x = static_cast<const T*>(task.x) + entry * task.x_strides[0] +
                 group * task.channels_of_group * task.x_strides[1];
    T* out = static_cast<T*>(task.out) + entry * task.out_strides[0] + filter * task.out_strides[1];
    T* slab = static_cast<T*>(elements);
    T* lines = slab + task.slab_rows * task.wide;
    T* ring = lines + separable_rows * task.wide;
    T* zeros = ring + task.terms * task.ring * task.plane;
    const T** planes = static_cast<const T**>(pointers);
    Tile3<T> tile{task, x, out, {}, task.channel + filter * task.terms,
                  task.bias ? static_cast<const T*>(task.bias)[filter] : T{}, block,
                  slab, lines, ring, zeros, zeros + task.plane,
                  planes, planes + task.terms * (task.taps[0] + separable_rows)};
    for (int axis = 0; axis < 3; ++axis)
        tile.weights[axis] = static_cast<const T*>(task.weights[axis]) + filter * task.terms * task.taps[axis];
    clear(zeros, task.plane);
    march(tile);
}

}  // namespace

extern const SeparableUnit separable_unit;
const SeparableUnit separable_unit = {CONV3D_ISA_NAME, run<float>, run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
