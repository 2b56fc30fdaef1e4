// The type of sizes, places and strides.
#pragma once

#include <cstddef>

namespace conv3d {

using Index = std::ptrdiff_t;

}  // namespace conv3d
