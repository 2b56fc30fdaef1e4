// The instruction sets that this build has and this machine can run.
#pragma once

#include <string>
#include <vector>

#include "task.hpp"

namespace conv3d {

// Best first; never empty.
const std::vector<const Unit*>& runnable_units();

// Throws std::invalid_argument if the machine cannot run it, or the build lacks it.
const Unit& find_unit(const std::string& name);

}  // namespace conv3d
