// One block of voxels of a pointwise convolution. Compiled once for each instruction set.

#include "pointwise.hpp"

#include "pack.hpp"
#include "pointwise_tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

constexpr Index far = 1024;  // bytes ahead of the tile that are asked for where the input is used in place

// Voxels that lie in one row of the merged volume, and what the tiles need to know of the group.
template <class T>
struct Run {
    const T* x;  // first voxel, first channel of the group
    T* out;      // first voxel, first filter of the group
    const T* weights;
    const T* bias;  // or null
    Index voxels;
};

// The lines of the input that the next run reads, asked for a few at a time while this one is computed.
template <class T>
struct Ahead {
    static constexpr Index line = 64 / static_cast<Index>(sizeof(T));
    const T* row = nullptr;  // the channel in turn
    Index channel = 0, channels = 0, voxels = 0, at = 0;

    void ask(Index lines) {
        for (; lines > 0 && channels > 0; --lines) {
            __builtin_prefetch(row + at, 0, 2);
            at += line;
            if (at < voxels) continue;
            at = 0;
            row += channel;
            --channels;
        }
    }
};

// All filters for a run of voxels; `source` holds their channels `channel` apart, `to` takes the filters `step` apart.
template <class T>
void by_voxels(const PointwiseTask& task, const Run<T>& run, const T* source, Index channel, T* to, Index step,
               Ahead<T> ahead) {
    constexpr Index lanes = Simd<T>::lanes;
    PointwiseTile<T> tile{};
    tile.channel = channel;
    tile.channels = task.channels;
    tile.out_step = step;
    tile.weights = run.weights;
    tile.stream = task.stream;
    const Index lines = 1 + most_vectors_of(8) * task.channels * most_planar_filters / task.filters;
    for (Index f = 0, width; f < task.filters; f += width, tile.weights += width * task.channels) {
        width = block_of_filters(task.filters - f, most_planar_filters);
        tile.bias = run.bias ? run.bias + f : nullptr;
        for (Index v = 0, vectors; v < run.voxels; v += vectors * lanes) {
            vectors = tile_vectors(width, (run.voxels - v + lanes - 1) / lanes);
            tile.source = source + v;
            tile.out = to + f * step + v;
            tile.tail = least(run.voxels - v - (vectors - 1) * lanes, lanes);
            if (source == run.x)
                for (Index c = 0; c < task.channels; ++c)
                    for (Index i = 0; i < vectors; ++i)
                        __builtin_prefetch(tile.source + c * channel + i * lanes + far / static_cast<Index>(sizeof(T)));
            else
                ahead.ask(lines);
            voxels_tile_of<T, most_planar_filters>(width, vectors)(tile);
        }
    }
}

// The slab holds whole vectors: what no voxel fills is zero, so that nothing is read that was not written.
template <class T>
void pack(const PointwiseTask& task, const Run<T>& run, T* slab) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index* s = task.x_strides;
    if (magnitude(s[1]) < magnitude(s[4]))
        copy_strips(slab, task.pitch, run.x, s[1], s[4], task.channels, run.voxels);
    else
        copy_rows(slab, task.pitch, run.x, s[1], s[4], task.channels, run.voxels);
    if (const Index rest = run.voxels % lanes)
        for (Index c = 0; c < task.channels; ++c) clear(slab + c * task.pitch + run.voxels, lanes - rest);
}

// With one block of filters each input is used once, and a slab would be a detour but for the last part of a vector.
template <class T>
void planar(const PointwiseTask& task, Run<T> run, T* slab, Index next) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index *s = task.x_strides, *o = task.out_strides;
    if (s[4] == 1 && !task.kept && block_of_filters(task.filters, most_planar_filters) == task.filters) {
        const Index rest = run.voxels % lanes;
        run.voxels -= rest;
        by_voxels(task, run, run.x, s[1], run.out, o[1], Ahead<T>{});
        run.x += run.voxels;
        run.out += run.voxels;
        run.voxels = rest;
        if (rest == 0) return;
    }
    pack(task, run, slab);
    Ahead<T> ahead{};
    if (s[4] == 1 && next > 0) ahead = {run.x + run.voxels, s[1], task.channels, next, 0};
    if (!task.kept) {
        by_voxels(task, run, slab, task.pitch, run.out, o[1], ahead);
        return;
    }
    T* kept = slab + task.channels * task.pitch;
    by_voxels(task, run, slab, task.pitch, kept, task.pitch, ahead);
    for (Index v = 0; v < run.voxels; ++v)
        for (Index f = 0; f < task.filters; ++f) run.out[v * o[4] + f * o[1]] = kept[f * task.pitch + v];
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
            vectors = part_of_vectors(all - f);
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
    const Index end = least((block + 1) * task.span * task.block - task.skew, all);
    for (Index v = most(block * task.span * task.block - task.skew, 0); v < end; v += now.voxels) {
        if (__atomic_load_n(task.stop, __ATOMIC_RELAXED)) return;
        const Index column = v % width, row = v / width % task.size[1], plane = v / width / task.size[1];
        now.voxels = least(least(width - column, end - v), task.block);
        if (v == 0 && task.skew) now.voxels = least(now.voxels, lanes - task.skew);  // up to the first aligned output
        now.x = x + plane * s[2] + row * s[3] + column * s[4];
        now.out = out + plane * o[2] + row * o[3] + column * o[4];
        if (task.planar)
            planar(task, now, static_cast<T*>(scratch), least(least(width - column, end - v) - now.voxels, task.block));
        else
            by_filters(task, now);
    }
    if (task.stream) stream_end();
}

}  // namespace

extern const PointwiseUnit pointwise_unit;
const PointwiseUnit pointwise_unit = {CONV3D_ISA_NAME, run<float>, run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
