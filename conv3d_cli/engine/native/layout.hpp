// What Python says of a convolution and of the arrays that it is about.
#pragma once

#include <vector>

#include "task.hpp"

namespace conv3d {

struct AxisLayout {
    Index size, outputs, block, stride, before, extent;
    std::vector<Band> bands;
    std::vector<Index> slots;
};

// Tiles of a Cook-Toom transform along D: `points` inputs, or 1 where there is none, yield `step` outputs.
struct ToomLayout {
    Index points = 1, step = 1;
    std::vector<double> inputs, outputs;  // factors of `forward` and `inverse`, winograd_transform.hpp
};

struct Layout {
    std::vector<AxisLayout> axes;  // D, H, W
    Index groups, channel_chunk, filter_chunk;
    Index pitch, plane, volume;
    Index out_pitch, out_plane, out_volume;
    bool columns;  // taps along H are neighbours in the slab
    bool stream;   // outputs go past the cache
    ToomLayout toom;

    // What the taps see of the slab and of the kernel: with a transform each point is a plane, and a group of its own.
    Index tap_volume() const { return toom.points > 1 ? plane : volume; }
    Index tap_groups() const { return toom.points * groups; }
};

struct Array {
    void* data;
    std::vector<Index> shape, strides;  // strides in elements
};

}  // namespace conv3d
