#include "largest_module.hpp"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <string>

#include "arrays.hpp"
#include "items.hpp"
#include "shared_job.hpp"
#include "winograd_job.hpp"

namespace nb = nanobind;

namespace conv3d {

namespace {

constexpr Index piece = 1 << 19;  // values that a thread looks at before it takes the next

class Largest {
  public:
    Largest(const std::string& isa, Readable values) : values_(std::move(values)), wide_(is_double(values_)) {
        require(values_.ndim() == 1 && (values_.shape(0) < 2 || values_.stride(0) == 1), "values must lie side by side");
        const WinogradUnit& unit = find_winograd(isa);
        of_ = wide_ ? unit.largest_double : unit.largest_float;
    }

    void work() {
        const auto* const bytes = static_cast<const char*>(values_.data());
        items_.each(total(), [&](Index item) {
            const double value = of_(bytes + item * piece * (wide_ ? 8 : 4), std::min(piece, size() - item * piece));
            const std::lock_guard<std::mutex> lock(mutex_);
            if (std::isnan(value) || value > found_) found_ = value;  // nothing is greater than a NaN
        });
    }

    void cancel() { items_.cancel(); }
    Index finished() const { return items_.finished(); }
    Index total() const { return ceil_div(size(), piece); }
    double found() const { return found_; }

  private:
    Index size() const { return static_cast<Index>(values_.shape(0)); }

    Readable values_;
    bool wide_;
    double (*of_)(const void*, Index);
    Items items_;
    std::mutex mutex_;
    double found_ = 0;
};

}  // namespace

void bind_largest(nb::module_& m) {
    nb::class_<Largest> job(m, "Largest", "A look for the largest magnitude of contiguous values; threads share work().");
    job.def(nb::init<const std::string&, Readable>(), nb::arg("isa"), nb::arg("values"))
        .def_prop_ro("found", &Largest::found, "Once all is done: that magnitude, infinite or NaN if any value is.");
    bind_shared(job);
}

}  // namespace conv3d
