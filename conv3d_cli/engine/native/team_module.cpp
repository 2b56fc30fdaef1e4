#include "team_module.hpp"

#include "team.hpp"

namespace nb = nanobind;

namespace conv3d {

void bind_team(nb::module_& m) {
    m.def(
        "summon", [](Index threads) { Team::own().summon(threads - 1); }, nb::arg("threads"),
        "Have the threads that are to join this one wake up and look for work, while it is still prepared.");
}

}  // namespace conv3d
