// What Python sees of the separable kernels.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_separable(nanobind::module_& m);

}  // namespace conv3d
