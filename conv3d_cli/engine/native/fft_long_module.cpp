// What Python sees of the long tiles of Fourier transforms.

#include "fft_long_module.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <utility>

#include "arrays.hpp"
#include "fft_long_job.hpp"
#include "shared_job.hpp"

namespace nb = nanobind;

namespace conv3d {

namespace {

// One convolution's job, together with the arrays that it points into; Python keeps the spectra alive.
struct HeldFftLongJob {
    Readable x;
    std::optional<Readable> bias;
    Writable out;
    FftLongJob job;
};

using Triple = std::tuple<Index, Index, Index>;

void copy(const Triple& from, Index (&to)[3]) { std::tie(to[0], to[1], to[2]) = from; }

void construct_spectra(FftLongSpectra* at, const std::string& isa, const Triple& tile, const Triple& dilation, Index groups,
                       const Readable& kernel) {
    if (kernel.dtype() != nb::dtype<float>()) throw nb::type_error("kernel must be float32");
    FftLongSizes sizes{};
    copy(tile, sizes.tile);
    copy(dilation, sizes.dilation);
    sizes.groups = groups;
    new (at) FftLongSpectra(find_fft_long_unit(isa), sizes, describe(kernel));
}

void construct_job(HeldFftLongJob* at, const FftLongSpectra& spectra, const Triple& before, const Triple& strides,
                   Index chunk, const BoundaryTables& boundary, Readable x, std::optional<Readable> bias,
                   Writable out) {
    if (is_double(x, x, bias, out)) throw nb::type_error("x must be float32");
    FftLongSizes sizes{};
    copy(before, sizes.before);
    copy(strides, sizes.stride);
    sizes.chunk = chunk;
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[2] = {describe(x), describe(out)};
    new (at) HeldFftLongJob{
        std::move(x), std::move(bias), std::move(out), {spectra, sizes, boundary, arrays[0], described_bias, arrays[1]}};
}

}  // namespace

void bind_fft_long(nb::module_& m) {
    m.def(
        "fft_long_lengths",
        [](const std::string& isa) {
            std::vector<Index> lengths;
            for (Index n = 1; n <= 256; ++n)
                if (knows_long_line(find_fft_long_unit(isa), n)) lengths.push_back(n);
            return nb::tuple(nb::cast(lengths));
        },
        nb::arg("isa"), "Lengths of complex lines that there are transforms for; along W a tile has twice as many.");

    m.def(
        "fft_long_lanes", [](const std::string& isa) { return find_fft_long_unit(isa).lanes; }, nb::arg("isa"),
        "Frequencies of a block.");

    nb::class_<FftLongSpectra>(m, "FftLongSpectra", "The transforms of kernels; any number of threads may prepare them.")
        .def("__init__", &construct_spectra, nb::arg("isa"), nb::arg("tile"), nb::arg("dilation"), nb::arg("groups"),
             nb::arg("kernel"))
        .def(
            "prepare", [](FftLongSpectra& spectra) { spectra.prepare(); }, nb::call_guard<nb::gil_scoped_release>(),
            "Transform kernels until none is left; they may be used once all threads are back.")
        .def(
            "release", [](FftLongSpectra& spectra) { spectra.release(); }, "Free what only the preparation needs.")
        .def(
            "cancel", [](FftLongSpectra& spectra) { spectra.cancel(); }, "Let every thread return from prepare() soon.")
        .def_prop_ro(
            "bytes", [](const FftLongSpectra& spectra) { return spectra.bytes(); }, "Memory of the spectra.")
        .def_prop_ro(
            "planes_bytes", [](const FftLongSpectra& spectra) { return spectra.planes_bytes(); },
            "Further memory until release().");

    nb::class_<HeldFftLongJob> job(m, "FftLongJob", "A convolution through long tiles; any number of threads may share it.");
    job.def("__init__", &construct_job, nb::arg("spectra"), nb::arg("before"), nb::arg("strides"), nb::arg("chunk"),
            nb::arg("boundary"), nb::arg("x"), nb::arg("bias").none(), nb::arg("out"), nb::keep_alive<1, 2>());
    job.def_prop_ro(
           "buffer_bytes", [](const HeldFftLongJob& held) { return held.job.buffer_bytes(); }, "Memory of a tile.")
        .def_prop_ro(
            "thread_bytes", [](const HeldFftLongJob& held) { return held.job.thread_bytes(); },
            "Memory that each thread takes while it works.")
        .def_prop_ro("tiles", [](const HeldFftLongJob& held) { return held.job.tiles(); }, "Tiles in all.");
    bind_shared(job, [](HeldFftLongJob& held) -> FftLongJob& { return held.job; });
}

}  // namespace conv3d
