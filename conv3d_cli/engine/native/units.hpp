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

// Defines `find`, which returns the loops of one kind for an instruction set, and throws as find_unit does. The loops are
// compiled once for each set and stand as `unit` in its namespace.
#define CONV3D_DECLARED(set, Type, unit) \
    namespace set {                      \
    extern const Type unit;              \
    }
#if defined(CONV3D_X86_UNITS)
#define CONV3D_UNITS(Type, unit, find)                         \
    CONV3D_DECLARED(v4, Type, unit)                            \
    CONV3D_DECLARED(v3, Type, unit)                            \
    CONV3D_DECLARED(v2, Type, unit)                            \
    CONV3D_DECLARED(generic, Type, unit)                       \
    const Type& find(const std::string& isa) {                 \
        const std::string name = find_unit(isa).name;          \
        if (name == "x86-64-v4") return v4::unit;              \
        if (name == "x86-64-v3") return v3::unit;              \
        return name == "x86-64-v2" ? v2::unit : generic::unit; \
    }
#else
#define CONV3D_UNITS(Type, unit, find)         \
    CONV3D_DECLARED(generic, Type, unit)       \
    const Type& find(const std::string& isa) { \
        find_unit(isa);                        \
        return generic::unit;                  \
    }
#endif

}  // namespace conv3d
