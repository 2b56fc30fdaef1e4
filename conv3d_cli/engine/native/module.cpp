// What Python sees of the native kernels.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "boundary_tables.hpp"
#include "fft_long_module.hpp"
#include "fft_module.hpp"
#include "job.hpp"
#include "largest_module.hpp"
#include "machine_module.hpp"
#include "pointwise_job.hpp"
#include "range_module.hpp"
#include "separable_job.hpp"
#include "shared_job.hpp"
#include "team_module.hpp"
#include "units.hpp"
#include "winograd_module.hpp"

namespace nb = nanobind;

namespace {

using conv3d::Array;
using conv3d::AxisLayout;
using conv3d::BoundaryTables;
using conv3d::describe;
using conv3d::Index;
using conv3d::is_double;
using conv3d::Job;
using conv3d::Layout;
using conv3d::Readable;
using conv3d::Writable;

// One convolution's job, together with the arrays that it points into.
struct HeldJob {
    Readable x, kernel;
    std::optional<Readable> bias;
    Writable out;
    Job job;
};

void construct(HeldJob* at, const std::string& isa, Layout layout, const BoundaryTables& boundary, Readable x,
               Readable kernel, std::optional<Readable> bias, Writable out) {
    const bool wide = conv3d::is_double(x, kernel, bias, out);
    const conv3d::Unit& unit = conv3d::find_unit(isa);
    const Array described_bias = bias ? describe(*bias) : Array{};
    const Array arrays[3] = {describe(x), describe(kernel), describe(out)};
    new (at) HeldJob{std::move(x),
                     std::move(kernel),
                     std::move(bias),
                     std::move(out),
                     {unit, wide, std::move(layout), boundary, arrays[0], arrays[1], described_bias, arrays[2]}};
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The loops of the engine, compiled once for each instruction set.";
    using Edge = std::tuple<Index, Index, std::vector<Index>>;
    nb::class_<BoundaryTables>(m, "Boundary", "What is read around a volume: a constant, or voxels by their places.")
        .def(
            "__init__",
            [](BoundaryTables* at, double fill, const std::vector<Edge>& edges) {
                std::vector<BoundaryTables::Axis> axes;
                for (const auto& [before, after, places] : edges) axes.push_back({before, after, places});
                new (at) BoundaryTables{fill, std::move(axes)};
            },
            nb::arg("fill"), nb::arg("axes"));

    conv3d::bind_pointwise(m);
    conv3d::bind_separable(m);
    conv3d::bind_fft(m);
    conv3d::bind_fft_long(m);
    conv3d::bind_winograd(m);
    conv3d::bind_machine(m);
    conv3d::bind_range(m);
    conv3d::bind_largest(m);
    conv3d::bind_team(m);

    m.def(
        "runnable",
        [] {
            std::vector<std::string> names;
            for (const conv3d::Unit* unit : conv3d::runnable_units()) names.emplace_back(unit->name);
            return names;
        },
        "Names of the instruction sets that this machine can run, best first.");

    m.def(
        "tile",
        [](const std::string& isa) {
            const conv3d::Unit& unit = conv3d::find_unit(isa);
            const auto& rows = unit.rows;
            return std::make_tuple(unit.vector_bytes, unit.filters, std::make_tuple(rows[0], rows[1], rows[2], rows[3]),
                                   unit.column);
        },
        nb::arg("isa"),
        "Bytes of a vector; of a register tile most filters, most rows for 1, 2, 4 and 8 filters, longest column of taps.");

    m.def(
        "cost_share",
        [](const std::string& isa, const Readable& kernel, Index groups, Index channel_chunk, bool columns) {
            const Array described = describe(kernel);
            if (described.shape.size() != 5 || groups < 1 || channel_chunk < 1 || described.shape[4] % groups != 0)
                throw std::invalid_argument("the kernel needs 5 axes, and its filters whole groups and chunks");
            const conv3d::Unit& unit = conv3d::find_unit(isa);
            return conv3d::cost_share(described, is_double(kernel), groups, channel_chunk, unit.filters,
                                      columns ? unit.column : 1);
        },
        nb::arg("isa"), nb::arg("kernel"), nb::arg("groups"), nb::arg("channel_chunk"), nb::arg("columns"),
        "What a kernel's taps cost as a share of what all would cost, if none were zero and none had equal weights.");

    nb::class_<AxisLayout>(m, "Axis", "How one axis is cut into blocks, and where a block's slab has its positions.")
        .def(
            "__init__",
            [](AxisLayout* at, Index size, Index outputs, Index block, Index stride, Index before, Index extent,
               const std::vector<std::tuple<Index, Index, Index>>& bands, std::vector<Index> slots) {
                new (at) AxisLayout{size, outputs, block, stride, before, extent, {}, std::move(slots)};
                for (const auto& [position, start, length] : bands) at->bands.push_back({position, start, length});
            },
            nb::kw_only(), nb::arg("size"), nb::arg("outputs"), nb::arg("block"), nb::arg("stride"), nb::arg("before"),
            nb::arg("extent"), nb::arg("bands"), nb::arg("slots"));

    using Pitches = std::tuple<Index, Index, Index>;
    using Toom = std::optional<std::tuple<Index, Index, std::vector<double>, std::vector<double>>>;  // as in ToomLayout
    nb::class_<Layout>(m, "Layout", "How the whole convolution is cut into blocks and chunks.")
        .def(
            "__init__",
            [](Layout* at, std::vector<AxisLayout> axes, Index groups, Index channel_chunk, Index filter_chunk,
               const Pitches& slab, const Pitches& out, bool columns, bool stream, const Toom& toom) {
                new (at) Layout{std::move(axes),   groups,           channel_chunk,    filter_chunk,
                                std::get<0>(slab), std::get<1>(slab), std::get<2>(slab), std::get<0>(out),
                                std::get<1>(out),  std::get<2>(out),  columns,          stream,
                                {}};
                if (!toom) return;
                const auto& [points, step, inputs, outputs] = *toom;
                at->toom = {points, step, inputs, outputs};
            },
            nb::kw_only(), nb::arg("axes"), nb::arg("groups"), nb::arg("channel_chunk"), nb::arg("filter_chunk"),
            nb::arg("slab"), nb::arg("out"), nb::arg("columns"), nb::arg("stream"), nb::arg("toom") = nb::none());

    nb::class_<HeldJob> job(m, "Job", "One convolution; any number of threads may call work().");
    job.def("__init__", &construct, nb::arg("isa"), nb::arg("layout"), nb::arg("boundary"), nb::arg("x"),
            nb::arg("kernel"), nb::arg("bias").none(), nb::arg("out"));
    conv3d::bind_shared(job, [](HeldJob& held) -> Job& { return held.job; });
}
