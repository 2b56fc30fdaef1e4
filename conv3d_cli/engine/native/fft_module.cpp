// What Python sees of the tiles of Fourier transforms.

#include <nanobind/stl/string.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <utility>

#include "arrays.hpp"
#include "fft_module.hpp"
#include "fft_job.hpp"
#include "shared_job.hpp"

namespace nb = nanobind;

namespace conv3d {

namespace {

using Triple = std::tuple<Index, Index, Index>;
using Sizes = Index[3];

void copy(const Triple& from, Sizes& to) { std::tie(to[0], to[1], to[2]) = from; }

// The kernel is only read while its spectra are prepared.
struct HeldSpectra {
    Readable kernel;
    FftSpectra spectra;
};

void construct_spectra(HeldSpectra* at, const std::string& isa, const Triple& tile, Index groups, Readable kernel) {
    if (kernel.dtype() != nb::dtype<float>()) throw nb::type_error("kernel must be float32");
    Sizes sizes;
    copy(tile, sizes);
    const Array described = describe(kernel);
    new (at) HeldSpectra{std::move(kernel), {find_fft_unit(isa), sizes, groups, described}};
}

// One convolution's job, together with the arrays that it points into.
struct HeldFftJob {
    Readable x;
    std::optional<Readable> bias;
    Writable out;
    FftJob job;
};

void construct_job(HeldFftJob* at, const HeldSpectra& held, const Triple& before, const Triple& stride,
                   const Triple& dilation, const BoundaryTables& boundary, Readable x, std::optional<Readable> bias,
                   Writable out) {
    if (is_double(x, x, bias, out)) throw nb::type_error("x must be float32");
    FftSizes sizes;
    copy(before, sizes.before);
    copy(stride, sizes.stride);
    copy(dilation, sizes.dilation);
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[2] = {describe(x), describe(out)};
    new (at) HeldFftJob{std::move(x),
                        std::move(bias),
                        std::move(out),
                        {held.spectra, sizes, boundary, arrays[0], described_bias, arrays[1]}};
}

}  // namespace

void bind_fft(nb::module_& m) {
    m.def(
        "fft_lengths",
        [](const std::string& isa, bool real) {
            std::vector<Index> lengths;
            for (Index n = 1; n <= 64; ++n)
                if (find_fft_unit(isa).known(n, real)) lengths.push_back(n);
            return nb::tuple(nb::cast(lengths));
        },
        nb::arg("isa"), nb::arg("real"),
        "Lengths of tiles that there are transforms for, along W if real, else D and H.");

    m.def(
        "fft_lanes", [](const std::string& isa) { return find_fft_unit(isa).lanes; }, nb::arg("isa"),
        "Tiles that go side by side.");

    nb::class_<HeldSpectra>(m, "FftSpectra", "The spectra of a layer's kernels, for any number of convolutions.")
        .def("__init__", &construct_spectra, nb::arg("isa"), nb::arg("tile"), nb::arg("groups"), nb::arg("kernel"))
        .def(
            "prepare", [](HeldSpectra& held) { held.spectra.prepare(); }, nb::call_guard<nb::gil_scoped_release>(),
            "Transform kernels until none is left; a job may begin once all threads are back.")
        .def(
            "cancel", [](HeldSpectra& held) { held.spectra.cancel(); },
            "Let every thread return from prepare() after its present kernels.")
        .def_prop_ro(
            "bytes", [](const HeldSpectra& held) { return held.spectra.bytes(); }, "Memory of the spectra.");

    nb::class_<HeldFftJob> job(m, "FftJob", "A convolution through tiles of transforms; any number of threads may share it.");
    job.def("__init__", &construct_job, nb::keep_alive<1, 2>(), nb::arg("spectra"), nb::arg("before"), nb::arg("stride"),
            nb::arg("dilation"), nb::arg("boundary"), nb::arg("x"), nb::arg("bias").none(), nb::arg("out"));
    job.def_prop_ro(
        "thread_bytes", [](const HeldFftJob& held) { return held.job.thread_bytes(); },
        "Memory that each thread takes while it works.");
    bind_shared(job, [](HeldFftJob& held) -> FftJob& { return held.job; });
}

}  // namespace conv3d
