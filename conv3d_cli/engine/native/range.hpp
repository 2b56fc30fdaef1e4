// The range of values.
//
// Plain data, for the same reason as in task.hpp: the kernels must not use the standard library.
#pragma once

#include "task.hpp"

namespace conv3d {

// Least and greatest value, and the sum of all; all three are NaN if a value is not finite.
struct Range {
    double low, high, total;
};

struct RangeUnit {
    Range (*of_floats)(const float* from, Index count);
    Range (*of_doubles)(const double* from, Index count);
};

}  // namespace conv3d
