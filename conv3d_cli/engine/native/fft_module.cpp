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

namespace nb = nanobind;

namespace conv3d {

namespace {

// One convolution's job, together with the arrays that it points into.
struct HeldFftJob {
    Readable x, kernel;
    std::optional<Readable> bias;
    Writable out;
    FftJob job;
};

using Triple = std::tuple<Index, Index, Index>;

void construct(HeldFftJob* at, const std::string& isa, const Triple& tile, const Triple& before, Index groups,
               Readable x, Readable kernel, std::optional<Readable> bias, Writable out) {
    if (is_double(x, kernel, bias, out)) throw nb::type_error("x must be float32");
    const FftSizes sizes{{std::get<0>(tile), std::get<1>(tile), std::get<2>(tile)},
                         {std::get<0>(before), std::get<1>(before), std::get<2>(before)},
                         groups};
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[3] = {describe(x), describe(kernel), describe(out)};
    new (at) HeldFftJob{std::move(x),
                        std::move(kernel),
                        std::move(bias),
                        std::move(out),
                        {find_fft_unit(isa), sizes, arrays[0], arrays[1], described_bias, arrays[2]}};
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

    nb::class_<HeldFftJob>(m, "FftJob", "A convolution through tiles of transforms; any number of threads may share it.")
        .def("__init__", &construct, nb::arg("isa"), nb::arg("tile"), nb::arg("before"), nb::arg("groups"),
             nb::arg("x"), nb::arg("kernel"), nb::arg("bias").none(), nb::arg("out"))
        .def(
            "prepare", [](HeldFftJob& held) { held.job.prepare(); }, nb::call_guard<nb::gil_scoped_release>(),
            "Transform kernels until none is left; work() may begin once all threads are back.")
        .def(
            "work", [](HeldFftJob& held) { held.job.work(); }, nb::call_guard<nb::gil_scoped_release>(),
            "Compute tiles until none is left.")
        .def(
            "cancel_prepare", [](HeldFftJob& held) { held.job.cancel_prepare(); },
            "Let every thread return from prepare() after its present kernels.")
        .def(
            "cancel", [](HeldFftJob& held) { held.job.cancel(); }, "Let every thread return from work() soon.")
        .def_prop_ro(
            "spectra_bytes", [](const HeldFftJob& held) { return held.job.spectra_bytes(); }, "Memory of the spectra.")
        .def_prop_ro(
            "thread_bytes", [](const HeldFftJob& held) { return held.job.thread_bytes(); },
            "Memory that each thread takes while it works.")
        .def_prop_ro(
            "done", [](const HeldFftJob& held) { return held.job.finished(); }, "Items of tiles that are computed.")
        .def_prop_ro(
            "total", [](const HeldFftJob& held) { return held.job.total(); }, "Items of tiles in all.");
}

}  // namespace conv3d
