// Kernels that are a short sum of outer products of three vectors: three sums along one axis each, term by term,
//
//     out[o] = bias + sum over terms t, i of  a_t[i]  sum over k of  c_t[k]  sum over j of  b_t[j] x[o + (i, j, k)]
//
// with i along D, j along H, k along W. A tile of rows and columns marches along D: each input plane is summed along H
// and W into a plane of a ring, which stays in cache; each output plane is a sum over planes of the ring. So the volume
// is read and written about once. Plain data, for the same reason as in task.hpp.
#pragma once

#include "task.hpp"

namespace conv3d {

struct SeparableTask {
    const void* x;
    void* out;
    const void* bias;  // one for each filter, or null
    Index x_strides[5];  // in elements: batch, channel, D, H, W
    Index out_strides[5];
    Index size[3], outputs[3], taps[3], strides[3], dilation[3], before[3];  // the stride along W is 1
    Index filters, filters_of_group, channels_of_group;
    Index terms;           // of each filter
    const Index* channel;  // [filter][term], within the group; ascending
    const void* weights[3];  // [filter][term][taps], along D, H and W
    Index tile[3];         // output planes, rows and columns of an item
    Index blocks[3];
    // Scratch, in elements: rows of the slab, its columns; columns, planes of the ring, and from plane to plane.
    Index slab_rows, wide, pitch, ring, plane;
    const bool* stop;
};

// Output planes, or rows, that are summed at once.
constexpr Index separable_rows = 4;

// Elements and pointers of one thread's scratch.
inline Index separable_elements(const SeparableTask& task) {
    return task.slab_rows * task.wide + separable_rows * task.wide + (task.terms * task.ring + 1) * task.plane +
           separable_rows * task.pitch;
}

inline Index separable_pointers(const SeparableTask& task) {
    return task.terms * (task.taps[0] + separable_rows) + task.taps[1] + separable_rows;
}

struct SeparableUnit {
    const char* name;
    void (*run_float)(const SeparableTask&, Index item, void* elements, void* pointers);
    void (*run_double)(const SeparableTask&, Index item, void* elements, void* pointers);
};

}  // namespace conv3d
