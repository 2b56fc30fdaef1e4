// What a convolution by Cook-Toom tiles is, in plain data; kernels include this and no standard library (see task.hpp).
//
// Along each axis n = m + r - 1 inputs yield m outputs of a kernel of r taps:  y = A [ (G g) * (B x) ],  nested over
// the axes (S. Winograd; for layers of channels A. Lavin and S. Gray, arXiv:1509.09308). So for each point of the
// n0 x n1 x n2 there is one product of matrices: tiles x channels times channels x filters.
//
// Vectors hold neighbouring tiles. Tile t of an axis reads the entries t * m + i: kept apart by their phase i % m, they
// stand next to each other at t + i / m, so that every vector of every axis is one load, and tiles of several rows or
// planes fill it together.
//
// With dilation d the voxels v of one remainder v % d are a convolution of their own. A run of d neighbouring voxels
// takes the place of a voxel then: tile T = t * d + p reads the voxels (t * m + i) * d + p, and the entries i of
// neighbouring tiles are neighbours again.
//
// With stride s a convolution is the sum of s convolutions without, one for each residue q: of the voxels u * s + q
// with the taps k * s + q. So each channel counts as one for each residue, and a kernel of r taps as one of r / s,
// rounded up. Residues that have a tap less end with a zero: at infinity, where only the last tap counts, there is
// nothing to multiply.
#pragma once

#include "boundary.hpp"

namespace conv3d {

constexpr Index most_points = 8, most_taps = 5, most_stride = 7;
constexpr Index summed_channels = 32;  // that a product sums at most before it adds them to those before
constexpr Index kernel_channels = 2;  // whose kernels are transformed together

struct WinogradAxis {
    Index size, outputs;     // voxels of the input and of the output
    Index before;            // positions before the input
    Index stride;            // s; 1 where there is a dilation
    Index residues;          // q that have a tap: as many as the stride, or the kernel's taps if they are fewer
    Index step;              // outputs of a tile, m
    Index points;            // n; 1 where the kernel has one tap, which leaves the axis alone
    Index dilation;          // d
    Index tiles;             // tiles of a block, a multiple of the dilation; the last block may have fewer
    Index blocks;            // blocks along the axis
    const void* inputs;      // B: the factors of `forward`, winograd_transform.hpp
    const void* outputs_of;  // A: the factors of `inverse`
};

// Channels that stand beside each other, `summed_channels` at most.
struct Run {
    Index first, count;
};

// Those that a product has to visit.
struct Runs {
    const Run* of;
    Index count;
};

// Transformed kernels, [group][point][block of filters][channel][filter], and what is needed to make them.
struct WinogradFilters {
    Index groups, channels, filters;  // of one group; channels: [residue of D][of H][of W][channel of the input]
    Index whole[3];                   // taps of the kernel
    Index stride[3], residues[3];
    Index taps[3], points[3];  // of a residue
    const double* factors[3];  // G, a row a point
    void* weights;
};

// Sizes are in elements; a slot is what one point of H x W holds: first [channel][phase][plane of tiles], then
// [filter][output plane][tile].
struct WinogradTask {
    const void* x;
    void* out;
    const void* bias;  // one for each filter, contiguous, or null
    const void* weights;  // as those of WinogradFilters
    Index x_strides[5];
    Index out_strides[5];
    WinogradAxis axes[3];
    Boundary boundary;
    Index batch, groups, channels, filters;  // as those of WinogradFilters
    Index sources;                           // channels of the input in one group
    Runs runs[8];                            // by the axes at whose infinity a point lies: 4, 2 and 1 for D, H, W
    Index most_tiles;                        // of a block, a multiple of a vector
    Index plane, phase, channel, slot;       // tiles of a plane rounded up; pitches within the slots
    Index rows;                              // of a phase of H in a plane
    Index row, line;                         // pitches of a phase of W in a packed row, and of one of H after it
    Index channels_abreast, filters_abreast; // whose rows are read, or written, at once: those that lie side by side
    Index voxels, packed, outputs;           // pitches, from one of them to the next: a row, packed rows, rows of outputs
    const bool* stop;
};

// One instruction set. `scratch` says how many elements a thread needs; sets `slot` and its pitches.
struct WinogradUnit {
    void (*measure)(WinogradTask&, Index item_bytes, Index& scratch);
    void (*weights_float)(const WinogradFilters&, const float* kernel, const Index* strides, Index group,
                          Index channel);
    void (*weights_double)(const WinogradFilters&, const double* kernel, const Index* strides, Index group,
                           Index channel);
    void (*energies_float)(const WinogradFilters&, double* to);
    void (*energies_double)(const WinogradFilters&, double* to);
    void (*run_float)(const WinogradTask&, Index item, void* scratch);
    void (*run_double)(const WinogradTask&, Index item, void* scratch);
    double (*largest_float)(const void* values, Index count);
    double (*largest_double)(const void* values, Index count);
};

}  // namespace conv3d
