// What the code around the kernels has in common: refusals of what Python hands over, and whole numbers of parts.
#pragma once

#include <stdexcept>

#include "index.hpp"

namespace conv3d {

inline void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

}  // namespace conv3d
