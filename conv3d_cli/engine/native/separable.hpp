// Kernels that are a short sum of outer products of three vectors: three sums along one axis each, term by term,
//
//     out[o] = bias + sum over terms t, k of  c_t[k]  sum over j of  b_t[j]  sum over i of  a_t[i] x[o + (i, j, k)]
//
// with i along D, j along H, k along W. A few output planes are computed together, row by row: the rows of the input
// that they read are copied side by side, summed along D into the rows of a ring, these along H into a few lines, and
// these along W into the output. All but the input stays in the second-level cache, and the input, of which neighbouring
// items read the same planes, in the third; so memory is read and written about once. Plain data, for the same reason
// as in task.hpp.
//
// Along an axis whose weights are all equal, a box, sums are shared between neighbouring outputs instead, and cost
// nearly the same for every length. Nothing is ever taken away from a sum again: that would spread NaN and Inf.
//
// What lies around the volume is looked up axis by axis: planes where the input is copied, rows where sums along D are
// begun, columns in the lines before they are summed along W. Where a constant V lies around, the lines hold
// V sum(a_t) sum(b_t) there.
#pragma once

#include "boundary.hpp"
#include "task.hpp"

namespace conv3d {

// Of a block along W: the columns of the input that it reads, and the position at which its lines begin.
struct SeparableColumns {
    Index low, high, begin;
};

struct SeparableTask {
    const void* x;
    void* out;
    const void* bias;  // one for each filter, or null
    Index x_strides[5];  // in elements: batch, channel, D, H, W
    Index out_strides[5];
    Index size[3], outputs[3], taps[3], strides[3], dilation[3], before[3];
    Index filters, filters_of_group, channels_of_group;
    Index terms;             // of each filter
    const Index* channel;    // [filter][term], within the group; ascending
    const void* weights[3];  // [filter][term][taps], along D, H and W
    bool box[3];             // all weights along the axis are equal; along W they are 1
    Boundary boundary;
    const SeparableColumns* columns;  // of each block along W
    const double* around;    // [filter][term]: what lines hold where a constant lies around; null where none does
    bool stream;             // outputs go past the cache
    Index tile[3];           // output planes, rows and columns of an item
    Index blocks[3];
    // Scratch, in elements: planes of the slab; elements of a row of the slab and of the ring; planes and rows of the
    // ring; elements of a line.
    Index slab_planes, pitch, ring_planes, ring_rows, line;
    const bool* stop;
};

// Output rows for which sums along D are kept together; outputs that a box shares sums between.
constexpr Index separable_step = 8;

// Buffers of one thread, in elements, one after the other.
inline Index separable_slab(const SeparableTask& task) { return task.slab_planes * task.pitch; }
inline Index separable_ring(const SeparableTask& task) {
    return task.terms * task.ring_planes * task.ring_rows * task.pitch;
}
// Lines of the terms; three more for sums of 2, 4 and 8 neighbours; and one of outputs that do not lie side by side.
inline Index separable_lines(const SeparableTask& task) { return (task.terms * separable_step + 4) * task.line; }

inline Index separable_elements(const SeparableTask& task) {
    return separable_slab(task) + separable_ring(task) + separable_lines(task) + task.pitch;
}

// The places of the slab's planes and those that they are copied from, then the rows of a sum.
inline Index separable_pointers(const SeparableTask& task) {
    const Index along_d = task.taps[0] + separable_step, along_h = task.terms * (task.taps[1] + separable_step);
    return 2 * task.slab_planes + (along_d > along_h ? along_d : along_h);
}

struct SeparableUnit {
    void (*run_float)(const SeparableTask&, Index item, void* elements, void* pointers);
    void (*run_double)(const SeparableTask&, Index item, void* elements, void* pointers);
};

}  // namespace conv3d
