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

// Copies rows whose voxels are neighbours, channel by channel, a few pieces of a panel's width at a time: done between
// the tiles of the run before, this reads memory while there are sums to compute.
template <class T>
struct Feed {
    static constexpr Index line = 64 / static_cast<Index>(sizeof(T));
    const T* from = nullptr;  // the channel in turn
    Index channel = 0, channels = 0, voxels = 0;
    T* to = nullptr;  // where that channel goes in the first panel
    Index width = 0, panel = 0;
    Index at = 0;  // voxels of it that are copied
    T* piece = nullptr;

    Feed() = default;
    Feed(const PointwiseTask& task, const T* first, Index step, Index rows, Index count, T* slab)
        : from(first), channel(step), channels(rows), voxels(count), to(slab), width(task.width), panel(task.panel),
          piece(slab) {}

    void copy(Index pieces) {
        for (; pieces > 0 && channels > 0; --pieces) {
            const T* source = from + at;
            const Index count = least(width, voxels - at);
            for (Index i = 0; i < count; i += line) __builtin_prefetch(source + channel + i);
            copy_vectors(source, count);
            piece += panel;
            at += width;
            if (at < voxels) continue;
            at = 0;
            from += channel;
            to += width;
            piece = to;
            --channels;
        }
    }

    // Fills whole vectors: what no voxel fills is zero, so that nothing is read that was not written.
    void copy_vectors(const T* source, Index count) {
        constexpr Index lanes = Simd<T>::lanes;
        Index i = 0;
        for (; i + lanes <= count; i += lanes) store(piece + i, load(source + i));
        if (i < count) store(piece + i, load_some(source + i, count - i));
    }

    void copy_all() {
        while (channels > 0) copy(1);
    }
};

// All at once, from any layout; `row` has room for the voxels of one channel.
template <class T>
inline void pack(const PointwiseTask& task, const T* x, Index voxels, T* slab, T* row) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index* s = task.x_strides;
    if (s[4] == 1) {
        Feed<T>(task, x, s[1], task.channels, voxels, slab).copy_all();
    } else if (magnitude(s[1]) < magnitude(s[4])) {
        for (Index v = 0; v < voxels; v += task.width, slab += task.panel) {
            const Index count = least(task.width, voxels - v), rest = count % lanes;
            copy_strips(slab, task.width, x + v * s[4], s[1], s[4], task.channels, count);
            for (Index c = 0; rest && c < task.channels; ++c) clear(slab + c * task.width + count, lanes - rest);
        }
    } else {
        for (Index c = 0; c < task.channels; ++c) {
            copy_rows(row, 0, x + c * s[1], 0, s[4], 1, voxels);
            Feed<T>(task, row, 0, 1, voxels, slab + c * task.width).copy_all();
        }
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
