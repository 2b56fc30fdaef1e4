// What Python sees of the convolution by Cook-Toom tiles.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_winograd(nanobind::module_& m);

}  // namespace conv3d
