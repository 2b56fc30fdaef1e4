// What the code around the kernels has in common: refusals of what Python hands over, and whole numbers of parts.
#pragma once

#include <initializer_list>
#include <stdexcept>

#include "index.hpp"

namespace conv3d {

inline void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

// Steps, places and sizes of blocks that a layout names are far below this: sums of them need no look at overflow.
constexpr Index most_named = Index(1) << 40;

inline void require_near(std::initializer_list<Index> named) {
    for (Index n : named) require(n >= -most_named && n <= most_named, "a step, a place or a size is out of range");
}

// The product of sizes or steps, if it is a number at all.
inline Index product(std::initializer_list<Index> sizes) {
    Index whole = 1;
    for (Index size : sizes) require(!__builtin_mul_overflow(whole, size, &whole), "sizes are too large together");
    return whole;
}

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

}  // namespace conv3d
