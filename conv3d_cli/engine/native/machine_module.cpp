#include "machine_module.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sched.h>
#endif

#include "machine.hpp"
#include "units.hpp"

namespace nb = nanobind;

namespace conv3d {

CONV3D_UNITS(MachineUnit, machine_unit, machine_of)

namespace {

using Source = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Target = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr std::uintptr_t line = 64;

void copy(const std::string& isa, const Source& from, const Target& to) {
    if (from.size() != to.size()) throw std::invalid_argument("from and to must have the same size");
    if (to.size() == 0) return;
    if (reinterpret_cast<std::uintptr_t>(to.data()) % line) throw std::invalid_argument("to must begin a line of cache");
    const MachineUnit& unit = machine_of(isa);
    const nb::gil_scoped_release free;
    unit.copy(from.data(), to.data(), static_cast<Index>(from.size()));
}

float read(const std::string& isa, const Source& from) {
    const MachineUnit& unit = machine_of(isa);
    const nb::gil_scoped_release free;
    return unit.read(from.data(), static_cast<Index>(from.size()));
}

Index multiply_adds(const std::string& isa, Index steps) {
    const MachineUnit& unit = machine_of(isa);
    float sink = 0;
    const nb::gil_scoped_release free;
    return unit.multiply_adds(steps, &sink);
}

// The number of the processor that the calling thread runs on, or -1 where the system does not say.
int processor() {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

// Variables of the environment, each in bytes, or None where it is not set.
nb::tuple variables(const nb::tuple& names) {
    nb::list found;
    for (nb::handle name : names) {
        const char* const value = std::getenv(nb::cast<const char*>(name));
        found.append(value ? nb::object(nb::bytes(value)) : nb::none());
    }
    return nb::tuple(found);
}

}  // namespace

void bind_machine(nb::module_& m) {
    m.def("processor", &processor, "Number of the processor that this thread runs on, or -1 where it is not known.");
    m.def("variables", &variables, nb::arg("names"), "Values of variables of the environment in bytes, or None.");
    m.def("machine_multiply_adds", &multiply_adds, nb::arg("isa"), nb::arg("steps"),
          "Run multiply-adds from registers on this thread; return the floating-point operations that were done.");
    m.def("machine_read", &read, nb::arg("isa"), nb::arg("source"), "Read a float32 array once; return its sum.");
    m.def("machine_copy", &copy, nb::arg("isa"), nb::arg("source"), nb::arg("target"),
          "Copy a float32 array past the cache; the target begins a line of it, else ValueError is raised.");
}

}  // namespace conv3d
