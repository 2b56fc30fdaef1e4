// What Python sees of the pointwise kernels.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_pointwise(nanobind::module_& m);

}  // namespace conv3d
