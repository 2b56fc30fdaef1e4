// The slab of a pointwise convolution: the channels of a run of voxels, in panels as wide as a tile,
//
//     slab[panel][channel][voxel of the panel]
//
// so that a tile reads memory from one end to the other. Channels that lie a power of two apart, as those of most
// volumes do, would crowd into a few sets of the cache; Goto and van de Geijn, Anatomy of high-performance matrix
// multiplication, ACM TOMS 34 (2008), describe such panels.
#pragma once

#include "pack.hpp"
#include "pointwise.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Copies rows whose voxels are neighbours, channel by channel, so that memory is read in long runs. Whole vectors are
// filled: what no voxel fills is zero, so that nothing is read that was not written.
template <class T>
inline void copy_panels(const PointwiseTask& task, const T* from, Index step, Index channels, Index voxels, T* slab) {
    constexpr Index lanes = Simd<T>::lanes, line = 64 / static_cast<Index>(sizeof(T));
    for (Index c = 0; c < channels; ++c, from += step, slab += task.width) {
        T* panel = slab;
        for (Index v = 0; v < voxels; v += task.width, panel += task.panel) {
            const Index count = least(task.width, voxels - v);
            for (Index i = 0; i < count; i += line) __builtin_prefetch(from + step + v + i);
            Index i = 0;
            for (; i + lanes <= count; i += lanes) store(panel + i, load(from + v + i));
            if (i < count) store(panel + i, load_some(from + v + i, count - i));
        }
    }
}

// From any layout; `row` has room for the voxels of one channel.
template <class T>
inline void pack(const PointwiseTask& task, const T* x, Index voxels, T* slab, T* row) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index* s = task.x_strides;
    if (s[4] == 1) {
        copy_panels(task, x, s[1], task.channels, voxels, slab);
    } else if (magnitude(s[1]) < magnitude(s[4])) {
        for (Index v = 0; v < voxels; v += task.width, slab += task.panel) {
            const Index count = least(task.width, voxels - v), rest = count % lanes;
            copy_strips(slab, task.width, x + v * s[4], s[1], s[4], task.channels, count);
            for (Index c = 0; rest && c < task.channels; ++c) clear(slab + c * task.width + count, lanes - rest);
        }
    } else {
        for (Index c = 0; c < task.channels; ++c) {
            copy_rows(row, 0, x + c * s[1], 0, s[4], 1, voxels);
            copy_panels<T>(task, row, 0, 1, voxels, slab + c * task.width);
        }
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
