// What lies around a volume: one value, or voxels of the volume itself, found in a table for each axis. The maths of the
// modes is in boundary.py, which fills the tables; here they are only looked up, while packing.
//
// A packing loop copies the voxels inside as if there were zeros around, then fills what lies outside along the fastest
// axis through its table; along the other axes a whole row outside is a row inside, or all constant.
#pragma once

#include "index.hpp"

namespace conv3d {

// One axis. `places` holds the voxel that each of the `before` positions in front of the volume is read from, then those
// of the `after` positions behind it; null where all of them are the constant.
struct Edge {
    const Index* places;
    Index size, before, after;
};

// Around a volume of axes D, H, W. `is_zero` says that nothing but zeros lies there: the tables are null, fill is 0.
struct Boundary {
    Edge axes[3];
    double fill;
    bool is_zero;
};

constexpr Index outside = -1;

// The voxel that a position along an axis is read from, or `outside` for the constant. Positions beyond the padding,
// which no output reads, are the constant too. Static, because each instruction set needs a copy of its own.
static inline Index source(const Edge& edge, Index position) {
    if (position >= 0 && position < edge.size) return position;
    if (!edge.places) return outside;
    const Index at = position < 0 ? position + edge.before : position - edge.size + edge.before;
    if (at < 0 || at >= edge.before + edge.after) return outside;
    return edge.places[at];
}

// Fills `count` entries, one at each `stride` positions from `position` on, all of them outside of the volume. `from` is
// the row of the input at its position 0, `step` its elements from one position to the next.
template <class T>
static inline void fill_outside(T* to, const Edge& edge, Index position, Index stride, Index count, const T* from,
                                Index step, T fill) {
    for (Index i = 0; i < count; ++i, position += stride) {
        const Index at = source(edge, position);
        to[i] = at == outside ? fill : from[at * step];
    }
}

}  // namespace conv3d
