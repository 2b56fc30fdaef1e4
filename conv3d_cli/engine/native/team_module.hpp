// What Python sees of the threads that share work which is over soon.
#pragma once

#include <nanobind/nanobind.h>

namespace conv3d {

void bind_team(nanobind::module_& m);

}  // namespace conv3d
