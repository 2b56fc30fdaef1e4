// One thread's memory, and the block that it works on.
#pragma once

#include "pack.hpp"
#include "winograd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

inline Index up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }
inline Index reach(const WinogradAxis& a) { return (a.points - 1) / a.step * a.dilation; }
inline Index span(const WinogradAxis& a, Index tiles) { return tiles * a.step + (a.points - a.step) * a.dilation; }

// Where the voxels of an axis are kept, one after the other: by the phase of their run, beside the runs of that phase.
struct Place {
    Index phase = 0, at = 0, of_run = 0;

    void advance(const WinogradAxis& a) {
        ++at;
        if (++of_run < a.dilation) return;
        of_run = 0;
        if (++phase < a.step)
            at -= a.dilation;
        else
            phase = 0;
    }
};

// Neither a multiple of a page nor of what makes many rows share one set of the cache.
inline Index uncrowded(Index n, Index lanes, Index item_bytes) { return n * item_bytes % 1024 ? n : n + lanes; }

template <class T>
struct Work {
    const WinogradTask& task;
    T *slots, *values, *sums, *packed, *lines, *rows, *row, *apart;
    Index first[3], tiles[3], plane, group, entry;

    Index vectors(Index count) const { return (count + Simd<T>::lanes - 1) / Simd<T>::lanes; }
};

struct Parts {
    Index values, sums, packed, lines, rows, row, apart, end;
};

inline Parts parts_of(const WinogradTask& t, Index lanes) {
    const WinogradAxis* a = t.axes;
    Parts p;
    p.values = a[1].points * a[2].points * t.slot;
    p.sums = p.values + a[0].points * (t.channels * t.most_tiles + lanes);
    p.packed = p.sums + a[0].points * (t.filters * t.most_tiles + lanes);
    p.lines = p.packed + t.channels_abreast * t.packed;
    p.rows = p.lines + a[1].step * a[2].points * t.line;
    p.row = p.rows + t.filters_abreast * t.outputs;
    p.apart = p.row + most(t.channels_abreast, t.filters_abreast) * t.voxels;
    p.end = p.apart + (a[2].stride > 1 ? a[2].stride * a[2].step * t.row : 0);
    return p;
}

// How many channels, or filters, to take at once. Where they are nearer to each other in memory than the voxels of a
// row, a line of memory holds so many, and is to be used as a whole.
inline Index abreast(const Index (&strides)[5], Index count, Index item_bytes) {
    return magnitude(strides[1]) < magnitude(strides[4]) ? least(count, 64 / item_bytes) : 1;
}

inline void measure(WinogradTask& t, Index item_bytes, Index& scratch) {
    const Index lanes = CONV3D_VECTOR_BYTES / item_bytes;
    const WinogradAxis* a = t.axes;
    t.plane = a[1].tiles * a[2].tiles;
    t.most_tiles = uncrowded(up(a[0].tiles * t.plane, lanes), lanes, item_bytes);
    t.phase = up((a[0].tiles + reach(a[0])) * t.plane + lanes, lanes);
    t.channel = a[0].step * t.phase;
    const Index slot = up(most(t.channels * t.channel, t.filters * a[0].step * t.most_tiles) + lanes, lanes);
    t.slot = uncrowded(slot, lanes, item_bytes);
    t.rows = a[1].tiles + reach(a[1]);
    t.row = up(a[2].tiles + reach(a[2]) + lanes, lanes);
    t.line = uncrowded(up((a[1].tiles + reach(a[1])) * a[2].tiles + lanes, lanes), lanes, item_bytes);
    t.channels_abreast = abreast(t.x_strides, t.sources, item_bytes);
    t.filters_abreast = abreast(t.out_strides, t.filters, item_bytes);
    t.voxels = uncrowded(a[2].stride * a[2].step * t.row, lanes, item_bytes);
    t.packed = a[2].residues * a[1].step * t.rows * a[2].step * t.row;
    t.outputs = a[1].step * a[2].step * t.line;
    scratch = parts_of(t, lanes).end;
}

inline bool stopped(const WinogradTask& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

// Where the inputs of tile 0 stand, for entries that are kept by phase.
inline void phases(const WinogradAxis& axis, Index phase, Index next, Index* offsets) {
    for (Index i = 0; i < axis.points; ++i)
        offsets[i] = i % axis.step * phase + i / axis.step * axis.dilation * next;
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
