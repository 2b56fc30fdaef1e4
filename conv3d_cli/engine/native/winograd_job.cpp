#include "winograd_job.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>

#include "units.hpp"

namespace conv3d {

namespace generic {
extern const WinogradUnit winograd;
}
#if defined(CONV3D_X86_UNITS)
namespace v4 {
extern const WinogradUnit winograd;
}
namespace v3 {
extern const WinogradUnit winograd;
}
namespace v2 {
extern const WinogradUnit winograd;
}
#endif

namespace {

constexpr std::size_t line = 64;

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

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

const WinogradUnit& find_winograd(const std::string& isa) {
    const std::string name = find_unit(isa).name;
#if defined(CONV3D_X86_UNITS)
    for (const WinogradUnit* unit : {&v4::winograd, &v3::winograd, &v2::winograd})
        if (unit->name == name) return *unit;
#endif
    return generic::winograd;
}

WinogradJob::WinogradJob(const std::string& isa, bool is_double, const std::vector<WinogradAxisLayout>& axes,
                         Index groups, const Array& x, const Array& kernel, const Array& bias, const Array& out)
    : unit_(find_winograd(isa)), is_double_(is_double), kernel_(kernel) {
    check(axes, groups, x, kernel, bias, out);
    task_.x = x.data;
    task_.out = out.data;
    std::copy(x.strides.begin(), x.strides.end(), task_.x_strides);
    std::copy(out.strides.begin(), out.strides.end(), task_.out_strides);
    task_.batch = x.shape[0];
    task_.groups = groups;
    task_.channels = kernel.shape[3];
    task_.filters = kernel.shape[4] / groups;
    task_.stop = &stop_;
    total_ = task_.batch * groups;
    Index points = 1;
    for (int i = 0; i < 3; ++i) {
        const std::size_t at = static_cast<std::size_t>(i);
        set_axis(i, axes[at], x.shape[at + 2], out.shape[at + 2], kernel.shape[at]);
        total_ *= task_.axes[i].blocks;
        points *= task_.axes[i].points;
    }
    const Index item = is_double_ ? 8 : 4;
    unit_.measure(task_, item, scratch_);
    weights_.resize(static_cast<std::size_t>(points * task_.channels * task_.filters * groups * item));
    task_.weights = weights_.data();
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

void WinogradJob::set_axis(int i, const WinogradAxisLayout& layout, Index size, Index outputs, Index taps) {
    kernel_factors_[i] = layout.kernel;
    factors_[i][0] = as_bytes(layout.inputs, is_double_);
    factors_[i][1] = as_bytes(layout.outputs, is_double_);
    WinogradAxis& axis = task_.axes[i];
    axis = {size,
            outputs,
            layout.before,
            taps,
            layout.step,
            layout.step + taps - 1,
            layout.tiles,
            ceil_div(ceil_div(outputs, layout.step), layout.tiles),
            factors_[i][0].data(),
            factors_[i][1].data(),
            kernel_factors_[i].data()};
}

// The layout comes from Python, and a wrong one would write anywhere: what keeps memory safe is checked here.
void WinogradJob::check(const std::vector<WinogradAxisLayout>& axes, Index groups, const Array& x, const Array& kernel,
                        const Array& bias, const Array& out) const {
    require(x.shape.size() == 5 && kernel.shape.size() == 5 && out.shape.size() == 5 && axes.size() == 3,
            "x, kernel and out need 5 axes, the layout 3");
    require(groups > 0 && x.shape[1] == kernel.shape[3] * groups && kernel.shape[4] % groups == 0 &&
                out.shape[1] == kernel.shape[4] && out.shape[0] == x.shape[0],
            "channels, filters and groups do not fit together");
    require(!bias.data || (bias.shape.size() == 1 && bias.shape[0] == kernel.shape[4]), "bias needs one value a filter");
    for (std::size_t i = 0; i < 3; ++i) {
        const WinogradAxisLayout& a = axes[i];
        const Index taps = kernel.shape[i], points = a.step + taps - 1;
        require(taps >= 1 && taps <= most_taps &&
                    (points == 4 || points == 6 || points == 8 || (taps == 1 && points == 1)),
                "a tile needs 4, 6 or 8 points, or 1 where the kernel has one tap");
        require((points == 1 || (taps >= 2 && a.step >= 2)) && a.tiles >= 1 && out.shape[i + 2] >= 1,
                "outputs and tiles must be positive");
        const std::size_t n = static_cast<std::size_t>(points), pairs = n / 2 - (n > 1 ? 1 : 0);
        require(a.inputs.size() >= (n > 1 ? n + pairs * (n - 2) : 0) &&
                    a.kernel.size() == n * static_cast<std::size_t>(taps) &&
                    a.outputs.size() >= pairs * static_cast<std::size_t>(a.step),
                "a matrix does not fit its tile");
    }
}

Index WinogradJob::kernels() const { return task_.groups * ceil_div(task_.channels, kernel_channels); }

void WinogradJob::prepare(Index kernel) {
    require(kernel >= 0 && kernel < kernels(), "no such kernels");
    const Index each = ceil_div(task_.channels, kernel_channels);
    const Index group = kernel / each, channel = kernel % each * kernel_channels;
    if (is_double_)
        unit_.weights_double(task_, static_cast<const double*>(kernel_.data), kernel_.strides.data(), group, channel);
    else
        unit_.weights_float(task_, static_cast<const float*>(kernel_.data), kernel_.strides.data(), group, channel);
}

void WinogradJob::work() {
    const std::size_t bytes = static_cast<std::size_t>(scratch_) * (is_double_ ? 8 : 4);
    void* memory = nullptr;
    if (posix_memalign(&memory, line, bytes) != 0) throw std::bad_alloc();
    const std::unique_ptr<void, decltype(&std::free)> scratch(memory, &std::free);
    std::memset(memory, 0, bytes);  // lanes without a tile compute too, and subnormal numbers would slow them down
    const auto run = is_double_ ? unit_.run_double : unit_.run_float;
    for (Index item = next_++; item < total_; item = next_++) {
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        run(task_, item, memory);
        ++finished_;
    }
}

}  // namespace conv3d
