// What lies around the volume in a line along W: voxels of the line itself, or a constant.
#pragma once

#include "boundary.hpp"
#include "pack.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// The positions of a line before the volume, or those after it. Counted outwards, from the one that is nearest to the
// volume on, they are mostly read from `voxel` and the voxels that follow in one direction, or from `voxel` alone: then
// they are filled in whole vectors. What these write beyond the positions is not read.
struct End {
    Index begin, count;
    Index outwards;     // -1 before the volume, 1 after it
    Index voxel, step;  // of the line; -1, 0 or 1
    bool whole;
};

// `margin` elements of a line of so many lie before its position 0.
inline End end_of(const Edge& edge, Index begin, Index end, Index outwards, Index margin, Index line, Index lanes) {
    End made{begin, end - begin, outwards, outside, 0, false};
    if (made.count <= 0 || !edge.places) return made;
    const Index nearest = outwards > 0 ? begin : end - 1;
    made.voxel = source(edge, nearest);
    if (made.count > 1) made.step = source(edge, nearest + outwards) - made.voxel;
    const Index far = (made.count + lanes - 1) / lanes * lanes - 1;
    const Index written = outwards > 0 ? nearest : nearest - far, read = made.step < 0 ? made.voxel - far : made.voxel;
    made.whole = made.voxel != outside && made.step >= -1 && made.step <= 1 && margin + least(written, read) >= 0 &&
                 margin + most(written, read) + far < line;
    for (Index i = 0; i < made.count; ++i)
        made.whole = made.whole && source(edge, nearest + i * outwards) == made.voxel + i * made.step;
    return made;
}

template <class T, int... I>
inline typename Simd<T>::Vector reversed(typename Simd<T>::Vector value, std::integer_sequence<int, I...>) {
    constexpr int last = static_cast<int>(sizeof...(I)) - 1;
#if defined(__clang__)
    return __builtin_shufflevector(value, value, last - I...);
#else
    return __builtin_shuffle(value, typename Places<T>::Numbers{last - I...});
#endif
}

// `volume` is position 0 of the line.
template <class T>
inline void fill_end(const End& end, const Edge& edge, T* volume, T fill) {
    constexpr Index lanes = Simd<T>::lanes;
    if (!edge.places) return flood(volume + end.begin, end.count, fill);
    if (!end.whole) return fill_outside(volume + end.begin, edge, end.begin, 1, end.count, volume, 1, fill);
    const T* from = volume + (end.step < 0 ? end.voxel - lanes + 1 : end.voxel);
    T* to = volume + (end.outwards > 0 ? end.begin : end.begin + end.count - lanes);
    for (Index i = 0; i < end.count; i += lanes, from += end.step * lanes, to += end.outwards * lanes) {
        typename Simd<T>::Vector value = spread(volume[end.voxel]);
        if (end.step != 0) value = load(from);
        if (end.step == -end.outwards)
            value = reversed<T>(value, std::make_integer_sequence<int, static_cast<int>(lanes)>());
        store(to, value);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
