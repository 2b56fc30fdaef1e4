// What one convolution through long tiles of Fourier transforms is, in plain data (see task.hpp for why it is plain).
//
// A tile is worked on by all threads together, in three sweeps: plane by plane of the input along W and H; column by
// column of frequencies along D, with the product and the way back; plane by plane of the output along H and W. Between
// the sweeps a tile lies in memory as [channel][z][block of frequencies along W][y][re | im], a block being as many
// frequencies as a vector has lanes; a block and a y are a column. What of a tile is zero on the way in, or not wanted
// on the way out, is left out.
//
// Along W the voxels are real. With M = tile / 2 and  w = exp(pi i / (2 M)),
//
//     Z[k] = sum over n < M of  (x[n] + i x[n + M]) w^n  exp(-2 pi i n k / M)
//
// are the values of the polynomial with the coefficients x at M of the roots of  r^(2 M) = -1,  of which the others are
// the conjugates. So M complex numbers stand for 2 M real ones, none of them a special case, and the product is a
// convolution modulo  r^(2 M) + 1:  what wraps round comes with the other sign, and is not used (Nussbaumer 1982, Fast
// Fourier Transform and Convolution Algorithms, section 4.3: right-angle circular convolution).
#pragma once

#include "boundary.hpp"

namespace conv3d {

// A transform of  first * second  values, in two passes. `twiddles` are  exp(-2 pi i b c / length)  for each b below
// `second` and each c from 1 to `first` - 1, real and imaginary part.
struct FftLine {
    Index length, first, second;
    const float* twiddles;
};

struct FftLongTask {
    const float* x;
    float* out;
    const float* kernel;      // packed [group][filter][channel][D][H][W]
    const float* bias;        // one for each filter, contiguous, or null
    float* kernel_planes;     // [group][filter][channel][z below the kernel's extent][column][2][lane]
    float* spectra;           // of the kernels, conjugate: [group][column][filter][channel][z][2][lane]
    float* buffer;            // a tile: channels from slot 0 on, filters from slot `first_filter` on
    Index x_strides[5];       // in elements: batch, channel, D, H, W
    Index out_strides[5];     // batch, filter, D, H, W
    Index size[3];            // input voxels along D, H, W
    Index outputs[3];         // output voxels
    Index before[3];          // positions before the input
    Boundary boundary;
    Index taps[3], dilation[3], extent[3], stride[3];
    Index tile[3];
    Index kept[3];            // outputs of a tile
    Index tiles[3];           // tiles of one volume
    Index batch, groups;
    Index channels, filters;  // of one group
    Index chunk;              // filters that are in the buffer at once
    Index first_filter;
    Index blocks;             // of frequencies along W
    Index columns;            // in a plane
    Index pitch, plane, volume;  // floats from block to block, plane to plane, channel to channel
    Index own_pitch;          // floats from block to block of a thread's own plane, with room for more rows
    Index together;           // columns of an item
    FftLine lines[3];         // along D, H, and W, where it has half the length of the tile
    const float* twist;       // w^n, real and imaginary part
    const float* untwist;     // w^-n, divided by the number of frequencies
};

// The channels of one group in one tile.
struct FftPlace {
    const float* x;    // at the voxel where the tile begins, which may be outside
    float* out;        // at its first output
    Index group;
    Index first[3];         // the position where the tile begins
    Index low[3], high[3];  // the part of the tile that is not zero: inside the volume, or what lies around it
    Index count[3];    // outputs
};

struct FftLongUnit {
    Index lanes;
    bool (*known)(Index radix);             // whether a pass of this length is there
    Index (*scratch)(const FftLongTask&);   // floats that a thread needs
    void (*kernel_plane)(const FftLongTask&, Index item, float* scratch);  // item: group, filter, channel, z
    void (*kernel_columns)(const FftLongTask&, Index group, Index item, float* scratch);
    void (*forward_plane)(const FftLongTask&, const FftPlace&, Index channel, Index z, float* scratch);
    void (*columns)(const FftLongTask&, const FftPlace&, Index first_filter, Index item, float* scratch);
    void (*backward_plane)(const FftLongTask&, const FftPlace&, Index filter, Index slot, Index z, float* scratch);
};

}  // namespace conv3d
