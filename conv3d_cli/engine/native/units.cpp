#include "units.hpp"

#include <stdexcept>

#if defined(CONV3D_X86_UNITS)
#include <cpuid.h>
#endif

namespace conv3d {

namespace generic {
extern const Unit unit;
}

#if defined(CONV3D_X86_UNITS)
namespace v4 {
extern const Unit unit;
}
namespace v3 {
extern const Unit unit;
}
namespace v2 {
extern const Unit unit;
}

namespace {

bool bit_of_ecx(unsigned leaf, unsigned bit) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(leaf, &a, &b, &c, &d) && (c >> bit & 1U);
}

// The levels of the x86-64 psABI. The compiler's own test knows whether the system saves the wide registers; LZCNT,
// MOVBE and F16C are read from CPUID because older compilers do not name them.
bool has_v2() {
    return __builtin_cpu_supports("sse3") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
           __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

bool has_v3() {
    return has_v2() && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           bit_of_ecx(1, 22) && bit_of_ecx(1, 29) && bit_of_ecx(0x80000001, 5);
}

bool has_v4() {
#if defined(CONV3D_WIDE_VECTORS)
    return has_v3();
#endif
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

}  // namespace
#endif

namespace {

std::vector<const Unit*> detect() {
    std::vector<const Unit*> units;
#if defined(CONV3D_X86_UNITS)
    __builtin_cpu_init();
    if (has_v4()) units.push_back(&v4::unit);
    if (has_v3()) units.push_back(&v3::unit);
    if (has_v2()) units.push_back(&v2::unit);
#endif
    units.push_back(&generic::unit);
    return units;
}

}  // namespace

// Asked once: on a virtual machine each CPUID instruction costs as much as a small convolution.
const std::vector<const Unit*>& runnable_units() {
    static const std::vector<const Unit*> units = detect();
    return units;
}

const Unit& find_unit(const std::string& name) {
    for (const Unit* unit : runnable_units())
        if (unit->name == name) return *unit;
    throw std::invalid_argument("instruction set " + name + " is not available");
}

}  // namespace conv3d
