#include "winograd_job.hpp"

#include <algorithm>
#include <cstring>

#include "checks.hpp"
#include "memory.hpp"

namespace conv3d {

namespace {

std::vector<char> as_bytes(const std::vector<double>& values, bool is_double) {
    std::vector<char> bytes(values.size() * (is_double ? 8 : 4));
    for (std::size_t i = 0; i < values.size(); ++i) {
        const float narrow = static_cast<float>(values[i]);
        if (is_double)
            std::memcpy(&bytes[i * 8], &values[i], 8);
        else
            std::memcpy(&bytes[i * 4], &narrow, 4);
    }
    return bytes;
}

}  // namespace

WinogradJob::WinogradJob(const WinogradKernels& kernels, const std::vector<WinogradAxisLayout>& axes,
                         BoundaryTables boundary, const Array& x, const Array& bias, const Array& out)
    : filters_(kernels.filters()),
      unit_(kernels.unit()),
      is_double_(kernels.is_double()),
      boundary_(std::move(boundary)) {
    check(axes, x, bias, out);
    task_.boundary = boundary_.of(x.shape[2], x.shape[3], x.shape[4]);
    task_.x = x.data;
    task_.out = out.data;
    task_.weights = filters_.weights;
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    task_.batch = x.shape[0];
    task_.groups = filters_.groups;
    task_.channels = filters_.channels;
    task_.sources = sources();
    task_.filters = filters_.filters;
    task_.stop = &stop_;
    total_ = task_.batch * task_.groups;
    for (int i = 0; i < 3; ++i) {
        const std::size_t at = static_cast<std::size_t>(i);
        set_axis(i, axes[at], x.shape[at + 2], out.shape[at + 2]);
        total_ *= task_.axes[i].blocks;
    }
    list_runs();
    const Index item = is_double_ ? 8 : 4;
    Index scratch = 0;
    unit_.measure(task_, item, scratch);
    // Slots lie so far apart that each is on pages of its own: small ones are too many for the processor to keep in
    // mind.
    used_bytes_ = scratch * item;
    scratch_bytes_ = in_pages(used_bytes_);
    if (bias.data) copy_bias(bias);
}

void WinogradJob::copy_bias(const Array& bias) {
    const Index item = is_double_ ? 8 : 4;
    bias_.resize(static_cast<std::size_t>(bias.shape[0] * item));
    for (Index f = 0; f < bias.shape[0]; ++f)
        std::memcpy(&bias_[static_cast<std::size_t>(f * item)],
                    static_cast<const char*>(bias.data) + f * bias.strides[0] * item, static_cast<std::size_t>(item));
    task_.bias = bias_.data();
}

void WinogradJob::set_axis(int i, const WinogradAxisLayout& layout, Index size, Index outputs) {
    factors_[i][0] = as_bytes(layout.inputs, is_double_);
    factors_[i][1] = as_bytes(layout.outputs, is_double_);
    const Index points = filters_.points[i], step = points - filters_.taps[i] + 1;
    const Index tiles = ceil_div(outputs, step * layout.dilation) * layout.dilation;
    task_.axes[i] = {size,
                     outputs,
                     layout.before,
                     filters_.stride[i],
                     filters_.residues[i],
                     step,
                     points,
                     layout.dilation,
                     layout.tiles,
                     ceil_div(tiles, layout.tiles),
                     factors_[i][0].data(),
                     factors_[i][1].data()};
}

// The layout comes from Python, and a wrong one would write anywhere: what keeps memory safe is checked here.
void WinogradJob::check(const std::vector<WinogradAxisLayout>& axes, const Array& x, const Array& bias,
                        const Array& out) const {
    require(x.shape.size() == 5 && out.shape.size() == 5 && axes.size() == 3, "x and out need 5 axes, the layout 3");
    require(x.shape[1] == sources() * filters_.groups && out.shape[1] == filters_.filters * filters_.groups &&
                out.shape[0] == x.shape[0],
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == out.shape[1]), "bias needs one value a filter");
    for (std::size_t i = 0; i < 3; ++i) {
        const WinogradAxisLayout& a = axes[i];
        const Index points = filters_.points[i], step = points - filters_.taps[i] + 1;
        require_near({a.before, a.dilation});
        require(a.dilation >= 1 && a.tiles >= 1 && out.shape[i + 2] >= 1, "outputs and tiles must be positive");
        require(a.dilation == 1 || filters_.stride[i] == 1, "no axis may have a stride and a dilation");
        require(a.tiles % a.dilation == 0 && a.tiles <= ceil_div(out.shape[i + 2], a.dilation) * a.dilation,
                "tiles must be a multiple of the dilation, and each must have outputs");
        const std::size_t n = static_cast<std::size_t>(points), pairs = n / 2 - (n > 1 ? 1 : 0);
        require(a.inputs.size() >= pairs * (pairs + 1) &&
                    a.outputs.size() >= pairs * static_cast<std::size_t>(step),
                "a matrix does not fit its tile");
    }
}

// At the infinity of an axis only residues count that have as many taps as the first.
void WinogradJob::list_runs() {
    const WinogradFilters& f = filters_;
    for (int at = 0; at < 8; ++at) {
        std::vector<Run> whole;
        const Index residues = f.residues[0] * f.residues[1] * f.residues[2];
        for (Index residue = 0; residue < residues; ++residue) {
            bool counts = true;
            for (Index i = 2, left = residue; i >= 0; left /= f.residues[i], --i) {
                const Index last = (f.taps[i] - 1) * f.stride[i] + left % f.residues[i];
                counts = counts && (last < f.whole[i] || !(at & (4 >> i)));
            }
            const Index first = residue * sources();
            if (counts && !whole.empty() && whole.back().first + whole.back().count == first)
                whole.back().count += sources();
            else if (counts)
                whole.push_back({first, sources()});
        }
        for (const Run& run : whole) {
            const Index parts = ceil_div(run.count, summed_channels);
            for (Index part = 0; part < parts; ++part) {
                const Index from = part * run.count / parts, to = (part + 1) * run.count / parts;
                runs_[at].push_back({run.first + from, to - from});
            }
        }
        task_.runs[at] = {runs_[at].data(), static_cast<Index>(runs_[at].size())};
    }
}

Index WinogradJob::sources() const {
    return filters_.channels / (filters_.residues[0] * filters_.residues[1] * filters_.residues[2]);
}

void WinogradJob::work() {
    const auto scratch = allocate(scratch_bytes_);
    // Lanes without a tile compute too, and subnormal numbers would slow them down.
    std::memset(scratch.get(), 0, static_cast<std::size_t>(used_bytes_));
    const auto run = is_double_ ? unit_.run_double : unit_.run_float;
    for (Index item = next_++; item < total_; item = next_++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        run(task_, item, scratch.get());
        ++finished_;
    }
}

}  // namespace conv3d
