#include "range_module.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <stdexcept>
#include <string>
#include <tuple>

#include "range.hpp"
#include "units.hpp"

namespace nb = nanobind;

namespace conv3d {

CONV3D_UNITS(RangeUnit, range_unit, range_of)

namespace {

template <class T>
using Values = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

using Found = std::tuple<double, double, double>;

template <class T>
Found found(const Values<T>& values, Range (*of)(const T*, Index)) {
    if (values.size() == 0) throw std::invalid_argument("values must not be empty");
    const nb::gil_scoped_release free;
    const Range range = of(values.data(), static_cast<Index>(values.size()));
    return {range.low, range.high, range.total};
}

template <class T>
void bind(nb::module_& m, Range (*RangeUnit::*of)(const T*, Index)) {
    m.def(
        "range",
        [of](const std::string& isa, const Values<T>& values) { return found(values, range_of(isa).*of); },
        nb::arg("isa"), nb::arg("values"),
        "Least, greatest and sum of values, in float64; NaN each if one of them is not finite.");
}

}  // namespace

void bind_range(nb::module_& m) {
    bind(m, &RangeUnit::of_floats);
    bind(m, &RangeUnit::of_doubles);
}

}  // namespace conv3d
