// What one convolution is, in plain data: the meeting point of the Python-facing code, which uses the standard
// library, and of the kernels, which are compiled once per instruction set and therefore must not: an inline function
// of the standard library compiled for AVX-512 could be the copy that the linker keeps for everyone.
//
//     out[n, f, o] = bias[f] + sum over c, k of  x[n, c, o * stride + k * dilation - before] * kernel[k, c, f]
//
// The outputs are cut into blocks. For each block the input positions that it reads are packed into a slab, with the
// boundary around the volume, in an order in which output o reads tap k of an axis at  slots[k] + o.  An axis of the slab is
// a row of bands; a band holds positions one stride apart. So stride, dilation and padding exist only while packing:
// what is left to compute is a list of taps, each an offset into the slab and a weight.
#pragma once

#include <cstddef>

#include "boundary.hpp"
#include "index.hpp"

namespace conv3d {

struct Band {
    Index position;  // input position of its first entry, relative to the position of the block's first output
    Index start;     // where it begins in the slab's axis
    Index length;    // entries, for a block of full size
};

struct Axis {
    Index size;     // input voxels
    Index outputs;  // output voxels
    Index block;    // output voxels of a block; the last block may have fewer
    Index stride;
    Index before;  // positions before the input
    Index extent;  // entries of the slab
    Index taps;
    Index band_count;
    const Band* bands;
    const Index* slots;  // one for each tap
};

// Taps that one call of a tile applies, column by column. A column is `length` neighbouring taps along H. Columns of
// equal weights are taken several at a time: the sum of their values costs the multiply-adds of one.
struct Pass {
    Index length;
    Index ways;  // columns that share their weights: 1, 2 or 4
    Index columns;
    const Index* offsets;  // [column][way] into the slab
    const void* weights;   // [column][tap of the column][filter]
};

// All passes of a block of filters over a chunk of channels.
struct Taps {
    const Pass* passes;
    Index count;
};

// A transform along D, see direct_toom.hpp; one point where there is none.
struct Toom {
    Index points, step;
    const void* inputs;   // B: the factors of `forward`, winograd_transform.hpp
    const void* outputs;  // A: the factors of `inverse`
};

struct Task {
    const void* x;
    void* out;
    const Taps* taps;      // [point][group][filter block][channel chunk]
    const Taps* left_out;  // in the same order: where `taps` lacks some, all of weight zero, those; or null
    bool folded;           // columns share weights somewhere
    const void* bias;      // one for each filter, contiguous, or null
    Index x_strides[5];   // in elements: batch, channel, D, H, W
    Index out_strides[5];
    Axis axes[3];
    Boundary boundary;
    Index batch, groups, channels, filters;  // channels and filters of one group
    Index channel_chunk, filter_chunk;
    Index blocks[3], filter_chunks, filter_blocks, channel_chunks;
    Index pitch, plane, volume;              // elements of the slab from row to row, plane to plane, channel to channel
    Index out_pitch, out_plane, out_volume;  // the same for the block of outputs kept where W has not stride 1; else 0
    bool stream;                             // outputs go past the cache
    Toom toom;
    const bool* stop;                        // set to make a block end early
};

// One instruction set. `run` computes one block; `scratch` holds the slab and then the block of outputs, or a tile's
// rows of them.
struct Unit {
    const char* name;
    Index vector_bytes;
    Index filters;  // most filters that a register tile holds
    Index rows[4];  // rows that a block should have a multiple of, for 1, 2, 4 and 8 filters
    Index column;   // longest column of taps along H
    void (*run_float)(const Task&, Index item, void* scratch);
    void (*run_double)(const Task&, Index item, void* scratch);
};

// Elements of a row of the block of outputs, or of a tile's rows, in whole vectors.
inline Index whole_vectors(const Task& task, Index lanes) { return (task.axes[2].block + lanes - 1) / lanes * lanes; }

// Whether columns of equal weights gain from being summed first. A row of taps for one filter does not: its loads are
// what limits the speed.
constexpr bool may_share(Index filters, Index length) { return filters > 1 || length > 1; }

// Most rows of a register tile, of all its filters together.
inline Index rows_of_all_filters(const Unit& unit) {
    Index most = 0;
    for (Index i = 0, filters = 1; filters <= unit.filters; ++i, filters *= 2)
        most = most < unit.rows[i] * filters ? unit.rows[i] * filters : most;
    return most;
}

// Elements of the planes of all points and channels; of the sums of a tile's rows at each point, and of its outputs.
inline Index toom_values(const Task& task, Index lanes) {
    return task.toom.points > 1 ? task.toom.points * (task.channels * task.plane + lanes) : 0;
}
inline Index toom_sums(const Task& task, Index lanes, Index rows) {
    const Index line = whole_vectors(task, lanes);
    return task.toom.points > 1 ? task.toom.points * (rows * line + lanes) + task.toom.step * line : 0;
}

// Filters are taken in blocks of the largest power of two that is left, at most `most`.
inline Index block_of_filters(Index left, Index most) {
    while (most > left) most /= 2;
    return most;
}

// The blocks that so many filters make.
inline Index blocks_of_filters(Index filters, Index most) {
    Index count = 0;
    for (Index f = 0; f < filters; f += block_of_filters(filters - f, most)) ++count;
    return count;
}

}  // namespace conv3d
