// What Python sees of the range of values.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_range(nanobind::module_& m);

}  // namespace conv3d
