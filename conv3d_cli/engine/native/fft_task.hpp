// What one convolution through tiles of Fourier transforms is, in plain data (see task.hpp for why it is plain).
//
// The outputs are cut into boxes of  kept = tile - taps + 1  voxels. The window of the input that a box reads has the
// size of a tile; the product of its spectrum with the conjugate of the kernel's is a circular correlation, equal to
// the wanted one wherever the kernel does not wrap round (overlap-save: Oppenheim and Schafer, Discrete-Time Signal
// Processing, section 8.7.3).
//
// A lane of a vector is a tile: `lanes` tiles go through all stages side by side, so that no stage but the first and
// the last moves anything between lanes. These tiles are an item of work. A complex number is a vector of real parts
// followed by one of imaginary parts.
#pragma once

#include "task.hpp"

namespace conv3d {

struct FftTask {
    const float* x;
    float* out;
    const float* kernel;
    const float* bias;         // one for each filter, contiguous, or null
    float* spectra;            // of the kernels: [group][column][frequency along D][filter block][channel][2][filter]
    Index x_strides[5];        // in elements: batch, channel, D, H, W
    Index out_strides[5];      // batch, filter, D, H, W
    Index kernel_strides[5];   // D, H, W, channel, filter
    Index size[3];             // input voxels along D, H, W
    Index outputs[3];          // output voxels
    Index before[3];           // zeros before the input
    Index taps[3];             // of the kernel
    Index tile[3], kept[3];    // voxels of a tile, and its outputs
    Index tiles[3];            // tiles of one volume
    Index batch, groups;
    Index channels, filters;   // of one group
    Index frequencies;         // along W: tile / 2 + 1
    Index columns;             // frequencies along H and W
    Index pitch;               // floats from one column to the next, of one item
    const bool* stop;          // set to make an item end early
};

struct FftUnit {
    Index lanes;
    bool (*known)(Index tile, bool real);                        // whether transforms of this length are there
    Index (*scratch)(const FftTask&);                            // floats that a thread needs
    void (*prepare)(const FftTask&, Index item, float* scratch);  // spectra of `lanes` filters of one channel
    void (*run)(const FftTask&, Index item, float* scratch);
};

}  // namespace conv3d
