#include "separable_job.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "boundary_tables.hpp"
#include "items.hpp"
#include "memory.hpp"
#include "separable.hpp"
#include "shared_job.hpp"
#include "units.hpp"

namespace nb = nanobind;

namespace conv3d {

CONV3D_UNITS(SeparableUnit, separable_unit, separable_of)

namespace {

using Triple = std::array<Index, 3>;

constexpr Index page = 4096;

Index rounded(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

class Separable {
  public:
    Separable(const std::string& isa, Readable x, std::vector<Readable> weights, std::vector<Index> channels,
              const BoundaryTables& boundary, std::optional<Readable> bias, Writable out, Index groups, Triple strides, Triple dilation, Triple before,
              std::array<bool, 3> box, Triple tile, bool stream)
        : x_(std::move(x)), weights_(std::move(weights)), channels_(std::move(channels)), boundary_(boundary),
          bias_(std::move(bias)), out_(std::move(out)) {
        const Unit& unit = find_unit(isa);
        require(weights_.size() == 3 && x_.ndim() == 5 && out_.ndim() == 5,
                     "weights need 3 arrays, x and out 5 axes");
        double_ = is_double(x_, weights_[0], bias_, out_);
        run_ = double_ ? separable_of(isa).run_double : separable_of(isa).run_float;
        require(groups > 0 && x_.shape(1) % static_cast<std::size_t>(groups) == 0 &&
                         out_.shape(1) % static_cast<std::size_t>(groups) == 0 && out_.shape(0) == x_.shape(0),
                     "channels, filters and groups do not fit together");
        task_.filters = static_cast<Index>(out_.shape(1));
        task_.filters_of_group = task_.filters / groups;
        task_.channels_of_group = static_cast<Index>(x_.shape(1)) / groups;
        take_weights();
        task_.stream = stream;
        take_axes(strides, dilation, before, box, tile);
        take_boundary();
        lay_out(unit.vector_bytes / size());
        task_.stop = items_.stop();
    }

    void work() {
        const auto elements = allocate(separable_elements(task_) * size());
        const auto pointers = allocate(separable_pointers(task_) * static_cast<Index>(sizeof(void*)));
        items_.each(total_, [&](Index item) { run_(task_, item, elements.get(), pointers.get()); });
    }

    void cancel() { items_.cancel(); }
    Index finished() const { return items_.finished(); }
    Index total() const { return total_; }
    Index scratch() const { return separable_elements(task_) * size(); }

  private:
    Index size() const { return double_ ? 8 : 4; }

    // Each array of weights is (filters, terms, taps), contiguous.
    void take_weights() {
        for (std::size_t i = 0; i < 3; ++i) {
            const Array w = describe(weights_[i]);
            require(weights_[i].dtype() == x_.dtype(), "x, kernel, bias and out must have one dtype");
            require(w.shape.size() == 3 && w.shape[0] == task_.filters && w.shape[1] > 0 && w.shape[2] > 0 &&
                             (i == 0 || w.shape[1] == task_.terms),
                         "weights need the shape (filters, terms, taps)");
            task_.terms = w.shape[1];
            task_.taps[i] = w.shape[2];
            require(w.strides[2] == 1 && w.strides[1] == w.shape[2] && w.strides[0] == w.shape[1] * w.shape[2],
                         "weights must be contiguous");
            task_.weights[i] = w.data;
        }
        require(static_cast<Index>(channels_.size()) == task_.filters * task_.terms,
                     "one channel a term is needed");
        for (Index c : channels_)
            require(c >= 0 && c < task_.channels_of_group, "a channel lies outside of its group");
        task_.channel = channels_.data();
        if (!bias_) return;
        const Array bias = describe(*bias_);
        require(bias.shape.size() == 1 && bias.shape[0] == task_.filters &&
                         (task_.filters < 2 || bias.strides[0] == 1),
                     "bias needs one value a filter");
        task_.bias = bias.data;
    }

    void take_axes(const Triple& strides, const Triple& dilation, const Triple& before, const std::array<bool, 3>& box,
                   const Triple& tile) {
        const Array x = describe(x_), out = describe(out_);
        task_.x = x.data;
        task_.out = out.data;
        std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
        std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
        total_ = x.shape[0] * task_.filters;
        for (std::size_t i = 0; i < 3; ++i) {
            task_.size[i] = x.shape[i + 2];
            task_.outputs[i] = out.shape[i + 2];
            task_.strides[i] = strides[i];
            task_.dilation[i] = dilation[i];
            task_.before[i] = before[i];
            task_.box[i] = box[i];
            require_near({strides[i], dilation[i], before[i]});
            require_near({product({task_.outputs[i], strides[i]}), product({task_.taps[i], dilation[i]})});
            require(strides[i] > 0 && dilation[i] > 0 && before[i] >= 0 && tile[i] > 0 && task_.outputs[i] > 0,
                         "strides, dilation and tiles must be positive");
            require(!box[i] || (task_.taps[i] >= separable_step && (i == 2 || strides[i] == dilation[i])),
                         "a box must be long, and its stride its dilation");
            // Which sums an output is put together from must not depend on where tiles begin.
            const Index unit = box[i] && i < 2 ? separable_step : 1;
            task_.tile[i] = std::min(rounded(std::min(tile[i], task_.outputs[i]), unit), task_.outputs[i]);
            task_.blocks[i] = (task_.outputs[i] + task_.tile[i] - 1) / task_.tile[i];
            total_ *= task_.blocks[i];
        }
    }

    // What the lines hold where a constant lies around, and what each block reads along W: not more than its positions,
    // except where the volume is repeated.
    void take_boundary() {
        const Index* size = task_.size;
        task_.boundary = boundary_.of(size[0], size[1], size[2]);
        if (task_.boundary.fill != 0) {
            for (Index i = 0; i < task_.filters * task_.terms; ++i)
                around_.push_back(task_.boundary.fill * sum_of(0, i) * sum_of(1, i));
            task_.around = around_.data();
        }
        for (Index block = 0; block < task_.blocks[2]; ++block) {
            const Index first = block * task_.tile[2], outputs = std::min(task_.tile[2], task_.outputs[2] - first);
            const Index left = first * task_.strides[2] - task_.before[2], right = left + read(2, outputs);
            Index low = size[2], high = 0;
            for (Index at = left; at < right; ++at) {
                const Index column = source(task_.boundary.axes[2], at);
                if (column == outside) continue;
                low = std::min(low, column);
                high = std::max(high, column + 1);
            }
            if (low >= high) low = high = left;
            columns_.push_back({low, high, std::min(left, low)});
            stored_ = std::max(stored_, high - low);
            length_ = std::max(length_, std::max(right, high) - std::min(left, low));
        }
        task_.columns = columns_.data();
    }

    // The sum of one of the vectors along an axis.
    double sum_of(int axis, Index vector) const {
        const Index taps = task_.taps[axis];
        double sum = 0;
        for (Index i = vector * taps; i < (vector + 1) * taps; ++i)
            sum += double_ ? static_cast<const double*>(task_.weights[axis])[i]
                           : static_cast<double>(static_cast<const float*>(task_.weights[axis])[i]);
        return sum;
    }

    Index reach(int axis) const { return (task_.taps[axis] - 1) * task_.dilation[axis]; }

    Index read(int axis, Index outputs) const { return (outputs - 1) * task_.strides[axis] + reach(axis) + 1; }

    void lay_out(Index lanes) {
        task_.slab_planes = read(0, task_.tile[0]);
        task_.pitch = rounded(std::max<Index>(stored_, 1), lanes);
        if (task_.pitch * size() % page == 0) task_.pitch += lanes;
        task_.ring_planes = rounded(task_.tile[0], task_.box[0] ? separable_step : 1);
        task_.ring_rows = read(1, std::min(task_.tile[1], separable_step));
        task_.line = rounded(length_, lanes) + 2 * lanes;
        // Each of a thread's buffers must be a number of bytes, and so must all of them together.
        product({task_.slab_planes, task_.pitch, 4 * size()});
        product({task_.terms, task_.ring_planes, task_.ring_rows, task_.pitch, 4 * size()});
        product({task_.terms + 1, separable_step, task_.line, 4 * size()});
    }

    Readable x_;
    std::vector<Readable> weights_;
    std::vector<Index> channels_;
    const BoundaryTables boundary_;
    std::vector<double> around_;
    std::vector<SeparableColumns> columns_;
    Index stored_ = 0, length_ = 0;  // most columns of a block, most positions of its lines
    std::optional<Readable> bias_;
    Writable out_;
    SeparableTask task_{};
    void (*run_)(const SeparableTask&, Index, void*, void*) = nullptr;
    bool double_ = false;
    Index total_ = 0;
    Items items_;
};

}  // namespace

void bind_separable(nb::module_& m) {
    nb::class_<Separable> job(m, "Separable", "One convolution with sums of outer products; threads share work().");
    job.def(nb::init<const std::string&, Readable, std::vector<Readable>, std::vector<Index>, const BoundaryTables&,
                     std::optional<Readable>, Writable, Index, Triple, Triple, Triple, std::array<bool, 3>, Triple, bool>(),
            nb::arg("isa"), nb::arg("x"), nb::arg("weights"), nb::arg("channels"), nb::arg("boundary"),
            nb::arg("bias").none(), nb::arg("out"), nb::kw_only(), nb::arg("groups"), nb::arg("strides"), nb::arg("dilation"),
            nb::arg("before"), nb::arg("box"), nb::arg("tile"), nb::arg("stream"));
    job.def_prop_ro("scratch", &Separable::scratch, "Bytes of the scratch of one thread.");
    bind_shared(job);
}

}  // namespace conv3d
