// A direct sum with a Cook-Toom transform along one axis, D.
//
// n = m + r - 1 planes of the slab yield m planes of outputs of a kernel of r taps along D:  y = A [ (G g) * (B x) ],
// as in winograd.hpp. Along H and W the sum stays as it is: the planes of a point and the kernel's taps at that point
// are a direct sum of their own, by the same register tiles. So n products take the place of m * r, while each plane is
// transformed once for all filters and all taps along H and W, and each output once.
#pragma once

#include "direct_rows.hpp"
#include "winograd_transform.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// From the planes of a point to those of the next; of a point there is a plane for each channel.
template <class T>
inline Index point_pitch(const Task& task) {
    return task.channels * task.plane + Simd<T>::lanes;
}

// The planes that the last tile reads beyond those of its outputs that exist: nothing comes of them, but a NaN would.
template <class T>
inline void end_planes(const Task& task, const Block& block, T* slab) {
    const Index step = task.toom.step, count = block.count[0], whole = (count + step - 1) / step * step;
    const Index used = entries(task.axes[0], task.axes[0].bands[0], count);
    for (Index c = 0; c < task.channels; ++c, slab += task.volume)
        for (Index z = used; z < used + whole - count; ++z)
            clear(slab + z * task.plane, task.axes[1].extent * task.pitch);
}

// B along D, for the planes of one tile of outputs.
template <class T>
inline void transform_planes(const Task& task, const T* slab, T* values) {
    Index offsets[most_points];
    for (Index i = 0; i < task.toom.points; ++i) offsets[i] = i * task.plane;
    const Index vectors = task.axes[1].extent * task.pitch / Simd<T>::lanes, point = point_pitch<T>(task);
    forward_for<T>(task.toom.points)(static_cast<const T*>(task.toom.inputs), slab, offsets, values, point, vectors,
                                     {task.channels, task.volume, task.plane});
    for (Index p = 0; p < task.toom.points; ++p) clear(values + (p + 1) * point - Simd<T>::lanes, Simd<T>::lanes);
}

// Some rows of the outputs of one tile: of so many filters from output (z, y) of the block on.
struct TileRows {
    Index z, y, filters, rows;
};

// A along D, and the bias: from sums[point][filter][row] to the output, whose first of all is `out`. What may not be
// written there as it comes, in whole vectors of all planes, goes through `kept`.
template <class T>
inline void restore_rows(const Task& task, const Block& block, TileRows at, const T* sums, Index pitch, T* kept,
                         const T* bias, const Target<T>& target, T* out) {
    const Index line = whole_vectors(task, Simd<T>::lanes), count = block.count[2];
    const Index vectors = (count + Simd<T>::lanes - 1) / Simd<T>::lanes;
    const Index planes = least(task.toom.step, block.count[0] - at.z);
    const bool straight = !target.buffer && planes == task.toom.step;
    const Inverse<T> restore = inverse_for<T, true>(task.toom.points, task.toom.step);
    for (Index f = 0; f < at.filters; ++f)
        for (Index y = 0; y < at.rows; ++y, sums += line) {
            T* const to = out + f * target.filter + at.z * target.plane + (at.y + y) * target.row;
            restore(static_cast<const T*>(task.toom.outputs), sums, pitch, straight ? to : kept,
                    straight ? target.plane : line, vectors, {1, 0, 0}, bias ? bias[f] : T(0));
            if (straight) continue;
            for (Index z = 0; z < planes; ++z) copy_row(to + z * target.plane, kept + z * line, count);
        }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
