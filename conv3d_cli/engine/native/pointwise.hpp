// Kernels of 1 x 1 x 1: each output voxel is a matrix of weights times the channels of one input voxel,
//
//     out[n, f, v] = bias[f] + sum over c of  x[n, c, v] * weights[c, f]
//
// Plain data, for the same reason as in task.hpp: the kernels must not use the standard library.
#pragma once

#include "task.hpp"

namespace conv3d {

// Where the loop runs along vectors of voxels (`planar`), the channels of a block of voxels are first copied into a
// slab; where it runs along vectors of filters, input and output are used in place.
struct PointwiseTask {
    const void* x;
    void* out;
    const void* weights;  // planar: [group][filter block][channel][filter]; else [group][part][channel][lanes of part]
    const void* bias;     // one for each filter as the weights have them, or null
    Index x_strides[5];   // in elements: batch, channel, D, H, W; neighbouring axes are merged where they can be
    Index out_strides[5];
    Index size[3];
    Index groups, channels, filters;  // channels and filters of one group
    Index block, span, blocks;        // voxels of a slab, slabs of an item, items of a volume
    Index skew;                       // voxels by which blocks begin early, so that their outputs are aligned
    Index pitch;                      // elements of the slab from channel to channel
    Index kept;                       // elements of the outputs kept where W has not stride 1; else 0
    bool planar;
    bool stream;  // outputs go past the cache
    const bool* stop;
};

struct PointwiseUnit {
    const char* name;
    void (*run_float)(const PointwiseTask&, Index item, void* scratch);
    void (*run_double)(const PointwiseTask&, Index item, void* scratch);
};

// Vectors of filters in the next part, when so many are left: parts of nearly equal size.
inline Index part_of_vectors(Index left) {
    const Index parts = (left + 2) / 3;
    return (left + parts - 1) / parts;
}

}  // namespace conv3d
