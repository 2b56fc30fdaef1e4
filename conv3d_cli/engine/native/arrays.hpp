// NumPy arrays as the native code sees them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <optional>

#include "checks.hpp"
#include "layout.hpp"

namespace conv3d {

using Readable = nanobind::ndarray<nanobind::ro, nanobind::device::cpu>;
using Writable = nanobind::ndarray<nanobind::device::cpu>;

// What lies in memory and how. NumPy lets an array begin in the middle of a number, where no number may be read.
template <class A>
Array describe(const A& a) {
    const std::size_t bytes = a.dtype().bits / 8;
    require(bytes > 0 && reinterpret_cast<std::uintptr_t>(a.data()) % bytes == 0, "arrays must be aligned");
    Array array{const_cast<void*>(static_cast<const void*>(a.data())), {}, {}};
    for (std::size_t i = 0; i < a.ndim(); ++i) {
        array.shape.push_back(static_cast<Index>(a.shape(i)));
        array.strides.push_back(static_cast<Index>(a.stride(i)));
    }
    return array;
}

// Whether an array is float64; else it must be float32.
inline bool is_double(const Readable& array) {
    const bool wide = array.dtype() == nanobind::dtype<double>();
    if (!wide && array.dtype() != nanobind::dtype<float>()) throw nanobind::type_error("x must be float32 or float64");
    return wide;
}

// Whether the arrays are float64; they must all have one dtype, float32 or float64.
inline bool is_double(const Readable& x, const Readable& kernel, const std::optional<Readable>& bias,
                      const Writable& out) {
    const auto type = x.dtype();
    const bool wide = is_double(x);
    if (kernel.dtype() != type || out.dtype() != type || (bias && bias->dtype() != type))
        throw nanobind::type_error("x, kernel, bias and out must have one dtype");
    return wide;
}

}  // namespace conv3d
