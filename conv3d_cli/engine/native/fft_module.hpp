// What Python sees of the tiles of Fourier transforms.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_fft(nanobind::module_& m);

}  // namespace conv3d
