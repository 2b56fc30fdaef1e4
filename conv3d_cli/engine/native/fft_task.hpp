// What one convolution through tiles of Fourier transforms is, in plain data (see task.hpp for why it is plain).
//
// The outputs are cut into boxes of `kept` voxels. The window of the input that a box reads has the size of a tile; the
// product of its spectrum with the conjugate of the kernel's is a circular correlation, equal to the wanted one wherever
// the kernel does not wrap round (overlap-save: Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7.3).
//
// Stride s: of a tile of length T every s-th voxel is wanted. Their spectrum is the tile's, folded: the sum of its s
// parts of T / s frequencies (the same book, section 4.6.1). It is folded while it is read for the transform back.
//
// Dilation d: outputs whose positions have the same remainder by d, a phase, read voxels that lie d apart, and no
// others. So a phase is a convolution without dilation, and its tiles are tiles like any other.
//
// A lane of a vector is a tile: `lanes` tiles go through all stages side by side, so that no stage but the first and
// the last moves anything between lanes. These tiles are an item of work. A complex number is a vector of real parts
// followed by one of imaginary parts.
#pragma once

#include "boundary.hpp"

namespace conv3d {

constexpr Index longest_row = 32;  // voxels of a tile along W

// What the kernels' spectra depend on beside the kernels.
struct FftShape {
    Index tile[3];            // voxels of a tile along D, H, W
    Index taps[3];            // of the kernel
    Index groups;
    Index channels, filters;  // of one group
    Index frequencies;        // along W: tile / 2 + 1
    Index columns;            // frequencies along H and W
};

struct FftKernels : FftShape {
    const float* kernel;
    Index strides[5];  // in elements: D, H, W, channel, filter
    float* spectra;    // [group][column][frequency along D][filter block][channel][2][filter]
};

struct FftTask : FftShape {
    const float* x;
    float* out;
    const float* bias;         // one for each filter, contiguous, or null
    const float* spectra;      // of the kernels
    Index x_strides[5];        // in elements: batch, channel, D, H, W
    Index out_strides[5];      // batch, filter, D, H, W
    Index size[3];             // input voxels along D, H, W
    Index outputs[3];          // output voxels
    Index before[3];           // positions before the input
    Boundary boundary;
    Index stride[3], dilation[3];
    Index folds[3];            // parts of a spectrum that are added: the stride, or 1
    Index restored[3];         // length of the transforms back: tile / folds
    Index kept[3];             // outputs of a tile
    Index tiles[3];            // of all phases
    Index batch;
    Index filter_chunk;        // filters whose sums are in work at once
    Index pitch;               // floats from one plane of frequencies to the next
    const bool* stop;          // set to make an item end early
};

struct FftUnit {
    Index lanes;
    bool (*known)(Index length, bool real);                         // whether transforms of this length are there
    Index (*prepare_scratch)(const FftKernels&);                    // floats that a thread needs to prepare
    void (*prepare)(const FftKernels&, Index item, float* scratch);  // spectra of `lanes` filters of one channel
    Index (*scratch)(const FftTask&);                               // floats that a thread needs to run
    void (*run)(const FftTask&, Index item, float* scratch);
};

}  // namespace conv3d
