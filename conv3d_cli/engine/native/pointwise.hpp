// Kernels of 1 x 1 x 1: each output voxel is a matrix of weights times the channels of one input voxel,
//
//     out[n, f, v] = bias[f] + sum over c of  x[n, c, v] * weights[c, f]
//
// Plain data, for the same reason as in task.hpp: the kernels must not use the standard library.
#pragma once

#include "task.hpp"

namespace conv3d {

// Where the loop runs along vectors of voxels (`planar`), the channels of a block of voxels are first copied into a
// slab, unless they are better read in place, and while one slab is read the next block is copied into another; where
// it runs along vectors of filters, input and output are used in place.
struct PointwiseTask {
    const void* x;
    void* out;
    const void* weights;  // planar: [group][part][channel][filter of part]; else [group][part][channel][lanes of part]
    const void* bias;     // one for each filter as the weights have them, or null
    Index x_strides[5];   // in elements: batch, channel, D, H, W; neighbouring axes are merged where they can be
    Index out_strides[5];
    Index size[3];
    Index groups, channels, filters;  // channels and filters of one group
    Index block, span, blocks;        // voxels of a slab, slabs of an item, items of a volume
    Index skew;                       // voxels by which blocks begin early, so that their outputs are aligned
    Index width, panel, slab;         // voxels of a panel, elements from panel to panel, elements of each of two slabs
    Index pitch;                      // elements of a block's voxels in a row
    Index kept;                       // elements of the outputs kept where W has not stride 1; else 0
    bool planar;
    bool stream;  // outputs go past the cache
    const bool* stop;
};

// Where a thread finds its items: it asks for the next one before the last block of the one at hand, so that this block's
// tiles copy what comes first there too.
struct PointwiseItems {
    Index (*next)(void* of);  // a negative number where none is left
    void (*done)(void* of);   // the one that was taken first of those not done
    void* of;
};

constexpr Index most_filter_vectors = 3;  // of a tile whose vectors run along filters

struct PointwiseUnit {
    Index filters, vectors;  // of a planar tile, at most
    Index (*part)(Index filters);  // filters of a planar tile, at most, where a group has so many
    Index (*vectors_of)(Index filters);  // of a planar tile for so many filters
    void (*run_float)(const PointwiseTask&, const PointwiseItems&, void* scratch);
    void (*run_double)(const PointwiseTask&, const PointwiseItems&, void* scratch);
};

// What the next part takes when so many are left, and a part at most `most`: the parts are of nearly equal size.
inline Index part_of(Index left, Index most) {
    const Index parts = (left + most - 1) / most;
    return (left + parts - 1) / parts;
}

}  // namespace conv3d
