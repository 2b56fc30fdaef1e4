// What Python sees of the loops that measure the machine.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_machine(nanobind::module_& m);

}  // namespace conv3d
