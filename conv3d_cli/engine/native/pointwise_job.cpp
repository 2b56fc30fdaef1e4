#include "pointwise_job.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>

#include "arrays.hpp"
#include "items.hpp"
#include "memory.hpp"
#include "pointwise.hpp"
#include "shared_job.hpp"
#include "units.hpp"

namespace nb = nanobind;

namespace conv3d {

CONV3D_UNITS(PointwiseUnit, pointwise_unit, pointwise_of)

namespace {

constexpr Index most_slabs = 8, least_items = 64;  // of an item, of the whole

// Joins W with H, and then D, where both arrays have a row begin where the one before ends.
void merge(PointwiseTask& task) {
    for (int axis = 1; axis >= 0; --axis) {
        const Index rows = axis == 1 ? task.size[1] : task.size[0];
        const bool follows = task.x_strides[2 + axis] == task.size[2] * task.x_strides[4] &&
                             task.out_strides[2 + axis] == task.size[2] * task.out_strides[4];
        if (!follows && rows > 1) return;
        task.size[2] *= rows;
        task.size[axis] = 1;
    }
}

// Writes the rows of a matrix, columns of several groups side by side, in the order in which tiles read them: group by
// group and part by part, each row of a part in one piece. A part is `most` units of columns at most; what fills the
// last unit is zero.
template <class T>
T* pack_columns(const T* from, Index rows, Index row, Index column, Index groups, Index columns, Index unit, Index most,
                T* to) {
    const Index units = (columns + unit - 1) / unit;
    for (Index group = 0; group < groups; ++group, from += columns * column)
        for (Index first = 0, part; first < units; first += part) {
            part = part_of(units - first, most);
            for (Index r = 0; r < rows; ++r)
                for (Index i = first * unit; i < (first + part) * unit; ++i)
                    *to++ = i < columns ? from[r * row + i * column] : T{};
        }
    return to;
}

class Pointwise {
  public:
    Pointwise(const std::string& isa, Readable x, Readable kernel, std::optional<Readable> bias, Writable out,
              Index groups, Index block, bool planar, bool stream, Index threads)
        : x_(std::move(x)), out_(std::move(out)), threads_(threads) {
        require_near({threads});
        require(threads > 0, "threads must be positive");
        const Unit& unit = find_unit(isa);
        double_ = is_double(x_, kernel, bias, out_);
        const PointwiseUnit& loops = pointwise_of(isa);
        run_ = double_ ? loops.run_double : loops.run_float;
        lanes_ = unit.vector_bytes / (double_ ? 8 : 4);
        describe_arrays(groups, block, planar);
        const Index unit_of = planar ? 1 : lanes_, most = planar ? loops.part(task_.filters) : most_filter_vectors;
        if (double_)
            pack_weights<double>(describe(kernel), bias, unit_of, most);
        else
            pack_weights<float>(describe(kernel), bias, unit_of, most);
        if (planar) lay_out_slab(loops);
        merge(task_);
        if (stream && aligned()) {
            const auto address = reinterpret_cast<std::uintptr_t>(task_.out) / (double_ ? 8 : 4);
            task_.skew = planar ? static_cast<Index>(address) % lanes_ : 0;
            task_.stream = true;
        }
        const Index voxels = task_.size[0] * task_.size[1] * task_.size[2] + task_.skew;
        const Index slabs = (voxels + block - 1) / block, volumes = groups * static_cast<Index>(x_.shape(0));
        task_.span = std::max<Index>(1, std::min(most_slabs, slabs * volumes / least_items));
        task_.blocks = (slabs + task_.span - 1) / task_.span;
        total_ = volumes * task_.blocks;
        task_.stop = items_.stop();
    }

    void work() {
        const Index elements = 2 * task_.slab + task_.pitch + task_.kept;
        const auto scratch = allocate(product({elements, double_ ? 8 : 4}));
        Own own{*this, {}};
        run_(task_, {Own::next, Own::done, &own}, scratch.get());
    }

    void cancel() { items_.cancel(); }
    Index finished() const { return items_.finished(); }
    Index total() const { return total_; }

  private:
    // What a thread has taken.
    struct Own {
        Pointwise& job;
        Items::Stretch left;

        static Index next(void* of) {
            auto& [job, left] = *static_cast<Own*>(of);
            if (left.first == left.end) left = job.items_.stretch(job.total_, job.threads_);
            return left.first < left.end ? left.first++ : -1;
        }
        static void done(void* of) { static_cast<Own*>(of)->job.items_.finish(); }
    };

    void describe_arrays(Index groups, Index block, bool planar) {
        const Array x = describe(x_), out = describe(out_);
        require(x.shape.size() == 5 && out.shape.size() == 5, "x and out need 5 axes");
        require_near({block});
        require(groups > 0 && block > 0 && block % lanes_ == 0,
                     "groups and block must be positive, blocks of vectors");
        require(x.shape[1] % groups == 0 && out.shape[1] % groups == 0, "groups must divide channels and filters");
        require(out.shape[1] > 0, "out must have filters");
        for (std::size_t i : {0, 2, 3, 4}) require(x.shape[i] == out.shape[i], "x and out must have one size");
        task_.x = x.data;
        task_.out = out.data;
        std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
        std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
        std::copy(x.shape.begin() + 2, x.shape.end(), task_.size);
        task_.groups = groups;
        task_.channels = x.shape[1] / groups;
        task_.filters = out.shape[1] / groups;
        task_.block = block;
        task_.planar = planar;
        require(planar || out.strides[1] == 1, "filters must be neighbours where they are the vectors");
    }

    template <class T>
    void pack_weights(const Array& kernel, const std::optional<Readable>& given, Index unit, Index most) {
        const Index channels = task_.channels, filters = task_.filters, groups = task_.groups;
        require(kernel.shape.size() == 2 && kernel.shape[0] == channels && kernel.shape[1] == groups * filters,
                "the kernel must have a row for each channel of a group, a column for each filter");
        const Index width = (filters + unit - 1) / unit * unit;
        weights_ = allocate(groups * (channels + 1) * width * static_cast<Index>(sizeof(T)));
        T* const to = static_cast<T*>(weights_.get());
        task_.weights = to;
        const Index *s = kernel.strides.data();
        T* const end = pack_columns(static_cast<const T*>(kernel.data), channels, s[0], s[1], groups, filters, unit,
                                    most, to);
        if (!given) return;
        const Array bias = describe(*given);
        require(bias.shape.size() == 1 && bias.shape[0] == groups * filters, "bias must have a value for each filter");
        pack_columns(static_cast<const T*>(bias.data), 1, 0, bias.strides[0], groups, filters, unit, most, end);
        task_.bias = end;
    }

    // Panels and rows are an odd number of lines or vectors apart: powers of two would crowd into one cache set.
    void lay_out_slab(const PointwiseUnit& loops) {
        const Index line = 64 / (double_ ? 8 : 4);
        task_.width = loops.vectors_of(part_of(task_.filters, loops.part(task_.filters))) * lanes_;
        task_.panel = ((task_.channels * task_.width + line - 1) / line | 1) * line;
        task_.slab = (task_.block + task_.width - 1) / task_.width * task_.panel;
        task_.pitch = (task_.block / lanes_ | 1) * lanes_;
        task_.kept = task_.out_strides[4] != 1 ? task_.filters * task_.pitch : 0;
    }

    // Whether every vector of the output can be aligned by a shift of the blocks.
    bool aligned() const {
        const Index* o = task_.out_strides;
        const bool one_row = task_.size[0] == 1 && task_.size[1] == 1;
        const auto address = reinterpret_cast<std::uintptr_t>(task_.out);
        if (task_.planar) return one_row && o[4] == 1 && o[0] % lanes_ == 0 && o[1] % lanes_ == 0;
        const auto bytes = static_cast<std::uintptr_t>(lanes_ * (double_ ? 8 : 4));
        for (int axis : {0, 2, 3, 4})
            if (o[axis] % lanes_) return false;
        return address % bytes == 0 && task_.filters % lanes_ == 0;
    }

    Readable x_;
    Writable out_;
    std::unique_ptr<void, Free> weights_;  // and after them the bias
    PointwiseTask task_{};
    void (*run_)(const PointwiseTask&, const PointwiseItems&, void*) = nullptr;
    bool double_ = false;
    Index lanes_ = 1, total_ = 0, threads_;
    Items items_;
};

}  // namespace

void bind_pointwise(nb::module_& m) {
    m.def(
        "pointwise_tile",
        [](const std::string& isa) {
            const PointwiseUnit& loops = pointwise_of(isa);
            return std::make_tuple(loops.filters, loops.vectors);
        },
        nb::arg("isa"), "Most filters of a tile of voxels, and the vectors of such a tile.");
    nb::class_<Pointwise> job(m, "Pointwise", "One convolution with a kernel of one voxel; threads share work().");
    job.def(nb::init<const std::string&, Readable, Readable, std::optional<Readable>, Writable, Index, Index, bool, bool,
                     Index>(),
            nb::arg("isa"), nb::arg("x"), nb::arg("kernel"), nb::arg("bias").none(), nb::arg("out"), nb::kw_only(),
            nb::arg("groups"), nb::arg("block"), nb::arg("planar"), nb::arg("stream"), nb::arg("threads"));
    bind_shared(job);
}

}  // namespace conv3d
