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

struct Layout {
    std::vector<AxisLayout> axes;  // D, H, W
    Index groups, channel_chunk, filter_chunk;
    Index pitch, plane, volume;
    Index out_pitch, out_plane, out_volume;
    bool columns;  // taps along H are neighbours in the slab
    bool stream;   // outputs go past the cache
};

struct Array {
    void* data;
    std::vector<Index> shape, strides;  // strides in elements
};

}  // namespace conv3d
