// One block of voxels of a pointwise convolution. Compiled once for each instruction set.

#include "pointwise.hpp"

#include "pointwise_slab.hpp"
#include "pointwise_tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

constexpr Index ways = 8;    // lines a power of two apart that the first-level cache holds, at least

// Voxels that lie in one row of the merged volume, and what the tiles need to know of the group.
template <class T>
struct Run {
    const T* x;  // first voxel, first channel of the group
    T* out;      // first voxel, first filter of the group
    const T* weights;
    const T* bias;  // or null
    Index voxels;
};

// Where the tiles find the voxels of a run: in a slab, or in place.
template <class T>
struct Source {
    const T* first;
    Index channel;  // elements from channel to channel
    Index next;     // from one whole tile's voxels to the next one's
};

// All filters for a run of voxels; `to` takes the filters `step` apart.
template <class T>
void by_voxels(const PointwiseTask& task, const Run<T>& run, const Source<T>& source, T* to, Index step) {
    constexpr Index lanes = Simd<T>::lanes;
    PointwiseTile<T> tile{};
    tile.channel = source.channel;
    tile.channels = task.channels;
    tile.out_step = step;
    tile.weights = run.weights;
    tile.stream = task.stream;
    const Index most = most_of_part(task.filters);
    for (Index f = 0, filters; f < task.filters; f += filters, tile.weights += filters * task.channels) {
        filters = part_of(task.filters - f, most);
        tile.bias = run.bias ? run.bias + f : nullptr;
        tile.source = source.first;
        const Index width = most_vectors_of(static_cast<int>(filters)) * lanes;
        Index v = 0;
        tile.tail = lanes;
        tile.next = source.next;
        tile.tiles = run.voxels / width;
        tile.out = to + f * step;
        voxels_tile_of<T, most_planar_filters>(filters, width / lanes)(tile);
        v += tile.tiles * width;
        tile.source += tile.tiles * source.next;
        tile.tiles = 1;
        for (Index vectors; v < run.voxels; v += vectors * lanes, tile.source += vectors * lanes) {
            vectors = tile_vectors(filters, (run.voxels - v + lanes - 1) / lanes);
            tile.out = to + f * step + v;
            tile.tail = least(run.voxels - v - (vectors - 1) * lanes, lanes);
            voxels_tile_of<T, most_planar_filters>(filters, vectors)(tile);
        }
    }
}

// What a thread has for itself.
template <class T>
struct Scratch {
    T* slab;
    T* row;
    T* kept;
};

// In place where each value is used once, or stays in cache until it is used again though its channels lie a power of
// two apart; but for the last part of a vector, beyond which nothing may be read.
template <class T>
void planar(const PointwiseTask& task, Run<T> run, const Scratch<T>& own) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index *s = task.x_strides, *o = task.out_strides;
    if (s[4] == 1 && !task.kept && (task.filters <= most_planar_filters || task.channels <= ways)) {
        const Index rest = run.voxels % lanes;
        run.voxels -= rest;
        by_voxels(task, run, {run.x, s[1], task.width}, run.out, o[1]);
        run.x += run.voxels;
        run.out += run.voxels;
        run.voxels = rest;
        if (rest == 0) return;
    }
    pack(task, run.x, run.voxels, own.slab, own.row);
    const Source<T> source{own.slab, task.width, task.panel};
    by_voxels(task, run, source, task.kept ? own.kept : run.out, task.kept ? task.pitch : o[1]);
    for (Index v = 0; task.kept && v < run.voxels; ++v)
        for (Index f = 0; f < task.filters; ++f) run.out[v * o[4] + f * o[1]] = own.kept[f * task.pitch + v];
}

// A few voxels at a time with all their filters, so that input and output each pass once.
template <class T>
void by_filters(const PointwiseTask& task, const Run<T>& run) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index all = (task.filters + lanes - 1) / lanes;
    PointwiseTile<T> tile{};
    tile.channel = task.x_strides[1];
    tile.voxel = task.x_strides[4];
    tile.channels = task.channels;
    tile.out_step = task.out_strides[4];
    for (Index v = 0, voxels; v < run.voxels; v += voxels) {
        for (voxels = most_voxels; voxels > run.voxels - v;) voxels /= 2;
        tile.source = run.x + v * tile.voxel;
        tile.weights = run.weights;
        for (Index f = 0, vectors; f < all; f += vectors, tile.weights += vectors * lanes * task.channels) {
            vectors = part_of(all - f, most_filter_vectors);
            tile.bias = run.bias ? run.bias + f * lanes : nullptr;
            tile.out = run.out + v * tile.out_step + f * lanes;
            tile.tail = least(task.filters - (f + vectors - 1) * lanes, lanes);
            tile.stream = task.stream;
            filters_tile_of<T, most_voxels>(voxels, vectors)(tile);
        }
    }
}

// Item number -> batch entry, group, block of voxels: the last varies fastest.
template <class T>
void run(const PointwiseTask& task, Index item, void* scratch) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index block = item % task.blocks;
    const Index group = item / task.blocks % task.groups;
    const Index entry = item / task.blocks / task.groups;
    const Index width = task.size[2], all = task.size[0] * task.size[1] * width;
    const Index filters = task.planar ? task.filters : (task.filters + lanes - 1) / lanes * lanes;
    const Index *s = task.x_strides, *o = task.out_strides;
    const T* x = static_cast<const T*>(task.x) + entry * s[0] + group * task.channels * s[1];
    T* out = static_cast<T*>(task.out) + entry * o[0] + group * task.filters * o[1];
    Run<T> now{};
    now.weights = static_cast<const T*>(task.weights) + group * task.channels * filters;
    now.bias = task.bias ? static_cast<const T*>(task.bias) + group * filters : nullptr;
    T* const slab = static_cast<T*>(scratch);
    const Scratch<T> own{slab, slab + task.slab, slab + task.slab + task.pitch};
    const Index end = least((block + 1) * task.span * task.block - task.skew, all);
    for (Index v = most(block * task.span * task.block - task.skew, 0); v < end; v += now.voxels) {
        if (__atomic_load_n(task.stop, __ATOMIC_RELAXED)) return;
        const Index column = v % width, row = v / width % task.size[1], plane = v / width / task.size[1];
        now.voxels = least(least(width - column, end - v), task.block);
        if (v == 0 && task.skew) now.voxels = least(now.voxels, lanes - task.skew);  // up to the first aligned output
        now.x = x + plane * s[2] + row * s[3] + column * s[4];
        now.out = out + plane * o[2] + row * o[3] + column * o[4];
        if (task.planar)
            planar(task, now, own);
        else
            by_filters(task, now);
    }
    if (task.stream) stream_end();
}

}  // namespace

extern const PointwiseUnit pointwise_unit;
const PointwiseUnit pointwise_unit = {most_planar_filters,
                                      most_vectors_of(most_planar_filters),
                                      most_of_part,
                                      [](Index filters) -> Index { return most_vectors_of(static_cast<int>(filters)); },
                                      run<float>,
                                      run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
