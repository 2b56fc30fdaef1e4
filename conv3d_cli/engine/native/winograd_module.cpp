#include "winograd_module.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "shared_job.hpp"
#include "winograd_job.hpp"

namespace nb = nanobind;

namespace conv3d {

namespace {

// One convolution's job, together with the arrays that it points into.
struct HeldWinograd {
    Readable x;
    std::optional<Readable> bias;
    Writable out;
    WinogradJob job;
};

void construct(HeldWinograd* at, const WinogradKernels& kernels, const std::vector<WinogradAxisLayout>& axes,
               const BoundaryTables& boundary, Readable x, std::optional<Readable> bias, Writable out) {
    if (is_double(x, bias ? *bias : x, {}, out) != kernels.is_double())
        throw nb::type_error("x and the kernels must have one dtype");
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[2] = {describe(x), describe(out)};
    new (at) HeldWinograd{std::move(x), std::move(bias), std::move(out),
                          {kernels, axes, boundary, arrays[0], described_bias, arrays[1]}};
}

bool of_doubles(const Readable& values) {
    const bool wide = values.dtype() == nb::dtype<double>();
    if (!wide && values.dtype() != nb::dtype<float>()) throw nb::type_error("values must be float32 or float64");
    return wide;
}

void construct_kernels(WinogradKernels* at, const std::string& isa, const std::vector<WinogradMatrix>& axes,
                       Index groups, const Readable& kernel) {
    new (at) WinogradKernels(isa, of_doubles(kernel), axes, groups, describe(kernel).shape);
}

void prepare(WinogradKernels& kernels, const Readable& kernel, Index piece) {
    if (of_doubles(kernel) != kernels.is_double()) throw nb::type_error("the kernel has another dtype");
    const Array described = describe(kernel);
    const nb::gil_scoped_release released;
    kernels.prepare(described, piece);
}

using Sums = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void energies(const WinogradKernels& kernels, const Sums& to) {
    if (static_cast<Index>(to.shape(0)) != kernels.sums()) throw nb::value_error("as many sums as asked for are needed");
    const nb::gil_scoped_release released;
    kernels.energies(to.data());
}

}  // namespace

void bind_winograd(nb::module_& m) {
    nb::class_<WinogradMatrix>(m, "WinogradMatrix", "Outputs of a tile along one axis, and what transforms a kernel.")
        .def(
            "__init__",
            [](WinogradMatrix* at, Index step, Index stride, std::vector<double> kernel) {
                new (at) WinogradMatrix{step, stride, std::move(kernel)};
            },
            nb::kw_only(), nb::arg("step"), nb::arg("stride"), nb::arg("kernel"));

    nb::class_<WinogradKernels>(m, "WinogradKernels", "Transformed kernels; any number of jobs may read them.")
        .def("__init__", &construct_kernels, nb::arg("isa"), nb::arg("axes"), nb::arg("groups"), nb::arg("kernel"))
        .def("prepare", &prepare, nb::arg("kernel"), nb::arg("piece"), "Transform the kernels of a few channels.")
        .def("energies", &energies, nb::arg("to"),
             "Fill ``to`` with the sums of squares over the channels, by group, point (H, W, D) and filter.")
        .def_prop_ro(
            "groups", [](const WinogradKernels& kernels) { return kernels.filters().groups; }, "Groups of filters.")
        .def_prop_ro("sums", &WinogradKernels::sums, "How many those are.")
        .def_prop_ro("pieces", &WinogradKernels::pieces,
                     "How many times to prepare, each once, before any job works with them.")
        .def_prop_ro("bytes", &WinogradKernels::bytes, "Memory that they take.");

    nb::class_<WinogradAxisLayout>(m, "WinogradAxis", "How one axis is cut into tiles, and the matrices of a tile.")
        .def(
            "__init__",
            [](WinogradAxisLayout* at, Index before, Index dilation, Index tiles, std::vector<double> inputs,
               std::vector<double> outputs) {
                new (at) WinogradAxisLayout{before, dilation, tiles, std::move(inputs), std::move(outputs)};
            },
            nb::kw_only(), nb::arg("before"), nb::arg("dilation"), nb::arg("tiles"), nb::arg("inputs"),
            nb::arg("outputs"));

    nb::class_<HeldWinograd> job(m, "WinogradJob", "One convolution; any number of threads may work on it.");
    job.def("__init__", &construct, nb::keep_alive<1, 2>(), nb::arg("kernels"), nb::arg("axes"), nb::arg("boundary"),
            nb::arg("x"), nb::arg("bias").none(), nb::arg("out"));
    job.def_prop_ro(
        "scratch_bytes", [](const HeldWinograd& held) { return held.job.scratch_bytes(); },
        "Memory that each thread takes.");
    bind_shared(job, [](HeldWinograd& held) -> WinogradJob& { return held.job; });
}

}  // namespace conv3d
