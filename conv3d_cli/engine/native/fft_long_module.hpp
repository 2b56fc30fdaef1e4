// What Python sees of the long tiles of Fourier transforms.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_fft_long(nanobind::module_& m);

}  // namespace conv3d
