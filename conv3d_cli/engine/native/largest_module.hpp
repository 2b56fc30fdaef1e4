// What Python sees of the look at how large values are.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_largest(nanobind::module_& m);

}  // namespace conv3d
