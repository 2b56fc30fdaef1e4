// What the bindings of all methods share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "job.hpp"

namespace conv3d {

using Readable = nanobind::ndarray<nanobind::ro, nanobind::device::cpu>;
using Writable = nanobind::ndarray<nanobind::device::cpu>;

template <class A>
Array describe(const A& a) {
    Array array{const_cast<void*>(static_cast<const void*>(a.data())), {}, {}};
    for (std::size_t i = 0; i < a.ndim(); ++i) {
        array.shape.push_back(static_cast<Index>(a.shape(i)));
        array.strides.push_back(static_cast<Index>(a.stride(i)));
    }
    return array;
}

// Throws nanobind::type_error unless all have one dtype, float32 or float64; returns whether it is the latter.
bool is_double(const Readable& x, const Readable& kernel, const std::optional<Readable>& bias, const Writable& out);

void bind_fft(nanobind::module_& m);

}  // namespace conv3d
