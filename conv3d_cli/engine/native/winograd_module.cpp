#include "winograd_module.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "winograd_job.hpp"

namespace nb = nanobind;

namespace conv3d {

namespace {

// One convolution's job, together with the arrays that it points into.
struct HeldWinograd {
    Readable x, kernel;
    std::optional<Readable> bias;
    Writable out;
    WinogradJob job;
};

void construct(HeldWinograd* at, const std::string& isa, const std::vector<WinogradAxisLayout>& axes, Index groups,
               Readable x, Readable kernel, std::optional<Readable> bias, Writable out) {
    const bool wide = is_double(x, kernel, bias, out);
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[3] = {describe(x), describe(kernel), describe(out)};
    new (at) HeldWinograd{std::move(x),
                          std::move(kernel),
                          std::move(bias),
                          std::move(out),
                          {isa, wide, axes, groups, arrays[0], arrays[1], described_bias, arrays[2]}};
}

double largest(const std::string& isa, const Readable& values) {
    const bool wide = values.dtype() == nb::dtype<double>();
    if (!wide && values.dtype() != nb::dtype<float>()) throw nb::type_error("values must be float32 or float64");
    if (values.ndim() != 1 || (values.shape(0) > 1 && values.stride(0) != 1))
        throw nb::value_error("values must lie side by side");
    const WinogradUnit& unit = find_winograd(isa);
    const nb::gil_scoped_release released;
    return (wide ? unit.largest_double : unit.largest_float)(values.data(), static_cast<Index>(values.shape(0)));
}

}  // namespace

void bind_winograd(nb::module_& m) {
    m.def("largest", &largest, nb::arg("isa"), nb::arg("values"),
          "The largest magnitude of contiguous values; infinite or NaN if any of them is.");

    nb::class_<WinogradAxisLayout>(m, "WinogradAxis", "How one axis is cut into tiles, and the matrices of a tile.")
        .def(
            "__init__",
            [](WinogradAxisLayout* at, Index before, Index step, Index tiles, std::vector<double> inputs,
               std::vector<double> kernel, std::vector<double> outputs) {
                new (at) WinogradAxisLayout{before,           step, tiles, std::move(inputs), std::move(kernel),
                                            std::move(outputs)};
            },
            nb::kw_only(), nb::arg("before"), nb::arg("step"), nb::arg("tiles"), nb::arg("inputs"), nb::arg("kernel"),
            nb::arg("outputs"));

    nb::class_<HeldWinograd>(m, "WinogradJob", "One convolution; any number of threads may work on it.")
        .def("__init__", &construct, nb::arg("isa"), nb::arg("axes"), nb::arg("groups"), nb::arg("x"),
             nb::arg("kernel"), nb::arg("bias").none(), nb::arg("out"))
        .def(
            "prepare", [](HeldWinograd& held, Index kernel) { held.job.prepare(kernel); }, nb::arg("kernel"),
            nb::call_guard<nb::gil_scoped_release>(), "Transform the kernels of a few channels.")
        .def_prop_ro(
            "kernels", [](const HeldWinograd& held) { return held.job.kernels(); },
            "How many times to prepare, each once, before any thread calls work().")
        .def(
            "work", [](HeldWinograd& held) { held.job.work(); }, nb::call_guard<nb::gil_scoped_release>(),
            "Compute blocks until none is left.")
        .def(
            "cancel", [](HeldWinograd& held) { held.job.cancel(); }, "Let every thread stop soon.")
        .def_prop_ro(
            "done", [](const HeldWinograd& held) { return held.job.finished(); }, "Blocks that are computed.")
        .def_prop_ro(
            "total", [](const HeldWinograd& held) { return held.job.total(); }, "Blocks in all.")
        .def_prop_ro(
            "scratch_bytes", [](const HeldWinograd& held) { return held.job.scratch_bytes(); },
            "Memory that each thread takes.");
}

}  // namespace conv3d
