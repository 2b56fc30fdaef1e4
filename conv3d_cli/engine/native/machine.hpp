// What a machine can do at most: multiply-adds from registers, and bytes moved to and from memory.
//
// Plain data, for the same reason as in task.hpp: the kernels must not use the standard library.
#pragma once

#include "task.hpp"

namespace conv3d {

struct MachineUnit {
    // Runs independent chains of multiply-adds so many steps long, keeps their sum in `sink`, and returns how many
    // floating-point operations that were: two for each multiply-add of each lane.
    Index (*multiply_adds)(Index steps, float* sink);
    // Returns the sum of `count` values, so that each of them must be read.
    float (*read)(const float* from, Index count);
    // Copies `count` values with stores that bypass the cache; `to` begins a line of it.
    void (*copy)(const float* from, float* to, Index count);
};

}  // namespace conv3d
