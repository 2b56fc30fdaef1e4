#include "tap_lists.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "checks.hpp"

namespace conv3d {

namespace {

// Terms of a pass at most: what a sum of so many random terms loses in float32 is less than 1e-6 of the largest sum.
constexpr Index most_terms = 288;

}  // namespace

TapLists::TapLists(const Unit& unit, bool is_double, const Layout& layout, const Array& kernel)
    : unit_(unit), layout_(layout) {
    list_offsets();
    if (is_double)
        build<double>(kernel);
    else
        build<float>(kernel);
}

template <class T>
void TapLists::build(const Array& kernel) {
    const Index channels = kernel.shape[3], filters = kernel.shape[4] / layout_.tap_groups();
    const bool share = layout_.channel_chunk >= channels;  // what overflows is summed anew from one slab
    const bool choose = worth_choosing<T>(kernel, share, layout_.tap_groups(), unit_.filters);
    const Index longest = layout_.columns ? unit_.column : 1;
    for (Index group = 0; group < layout_.tap_groups(); ++group)
        for (Index f = 0, width; f < filters; f += width) {
            width = block_of_filters(filters - f, unit_.filters);
            for (Index c = 0; c < channels; c += layout_.channel_chunk) {
                const KernelPart part{c, std::min(layout_.channel_chunk, channels - c), group * filters + f, width};
                if (choose) {
                    ChosenTaps<T> chosen = choose_taps<T>(kernel, part, longest, share);
                    if (chosen.pays()) {
                        add_chosen(std::move(chosen), width);
                        continue;
                    }
                }
                add_all<T>(kernel, part);
            }
        }
}

// Lists the columns of all taps, and the place of each in the slab. With one filter the taps along H are cut into columns
// of nearly equal length; with several each tap is a column.
void TapLists::list_offsets() {
    const std::vector<Index>&d = layout_.axes[0].slots, &h = layout_.axes[1].slots, &w = layout_.axes[2].slots;
    const Index taps = static_cast<Index>(h.size());
    const Index pieces = layout_.columns ? ceil_div(taps, unit_.column) : taps;
    const Index longest = ceil_div(taps, pieces);
    const Index of_longest = taps - pieces * (longest - 1);
    const Index lengths[3] = {1, longest, longest - 1}, counts[3] = {taps, of_longest, pieces - of_longest};
    firsts_[0] = firsts_[1] = 0;
    firsts_[2] = of_longest * longest;
    for (int i = 0; i < 3; ++i) {
        std::vector<Index> offsets;
        for (Index c = 0; c < layout_.channel_chunk; ++c)
            for (Index z : d)
                for (Index x : w)
                    for (Index k = 0; k < counts[i]; ++k) {
                        const Index y = h[static_cast<std::size_t>(firsts_[i] + k * lengths[i])];
                        offsets.push_back(c * layout_.tap_volume() + z * layout_.plane + y * layout_.pitch + x);
                    }
        every_[i] = {lengths[i], 1, counts[i], keep(std::move(offsets)), nullptr};
    }
}

template <class T>
const T* TapLists::keep(std::vector<T> values) {
    std::vector<std::vector<T>>* to;
    if constexpr (std::is_same_v<T, Index>)
        to = &offsets_;
    else if constexpr (std::is_same_v<T, float>)
        to = &floats_;
    else
        to = &doubles_;
    to->push_back(std::move(values));
    return to->back().data();
}

template <class T>
void TapLists::add_all(const Array& kernel, const KernelPart& part) {
    const std::vector<Index>&n = kernel.shape, &s = kernel.strides;
    std::vector<T> weights;
    weights.reserve(static_cast<std::size_t>(part.channels * n[0] * n[1] * n[2] * part.filters));
    std::vector<Pass> passes;
    for (int i = part.filters == 1 ? 1 : 0; i < (part.filters == 1 ? 3 : 1); ++i) {
        Pass pass = every_[i];
        if (pass.columns == 0) continue;
        const Index rows = pass.columns * pass.length;
        pass.weights = weights.data() + weights.size();
        for (Index c = part.channel; c < part.channel + part.channels; ++c)
            for (Index z = 0; z < n[0]; ++z)
                for (Index x = 0; x < n[2]; ++x)
                    for (Index y = firsts_[i]; y < firsts_[i] + rows; ++y) {
                        const T* from =
                            static_cast<const T*>(kernel.data) + z * s[0] + y * s[1] + x * s[2] + c * s[3];
                        for (Index f = part.filter; f < part.filter + part.filters; ++f)
                            weights.push_back(from[f * s[4]]);
                    }
        pass.columns *= part.channels * n[0] * n[2];
        cut(passes, pass, sizeof(T), part.filters);
    }
    keep(std::move(weights));
    passes_.push_back(std::move(passes));
    taps_.push_back({passes_.back().data(), static_cast<Index>(passes_.back().size())});
    rest_.push_back({nullptr, 0});
}

template <class T>
void TapLists::add_chosen(ChosenTaps<T> chosen, Index filters) {
    std::vector<Pass> passes;
    for (Columns<T>& columns : chosen.columns) {
        std::vector<Index> offsets;
        for (Index place : columns.places) offsets.push_back(offset(place));
        const Index count = static_cast<Index>(offsets.size()) / columns.ways;
        folded_ |= columns.ways > 1;
        const Index* at = keep(std::move(offsets));
        cut(passes, {columns.length, columns.ways, count, at, keep(std::move(columns.weights))}, sizeof(T), filters);
    }
    passes_.push_back(std::move(passes));
    taps_.push_back({passes_.back().data(), static_cast<Index>(passes_.back().size())});
    rest_.push_back({nullptr, 0});
    if (chosen.left_out.empty()) return;
    std::vector<Index> offsets;
    for (Index place : chosen.left_out) offsets.push_back(offset(place));
    const Index count = static_cast<Index>(offsets.size());
    const T* ones = keep(std::vector<T>(static_cast<std::size_t>(count * filters), T(1)));
    passes_.push_back({{1, 1, count, keep(std::move(offsets)), ones}});
    rest_.back() = {passes_.back().data(), 1};
    leaves_out_ = true;
}

// Adds a pass, or several where its sums would have too many terms.
void TapLists::cut(std::vector<Pass>& passes, Pass pass, Index item_bytes, Index filters) const {
    const Index parts = ceil_div(pass.columns * pass.length * pass.ways, most_terms);
    for (Index left = parts; left > 0; --left) {
        Pass part = pass;
        part.columns = ceil_div(pass.columns, left);
        passes.push_back(part);
        pass.columns -= part.columns;
        pass.offsets += part.columns * pass.ways;
        pass.weights = static_cast<const char*>(pass.weights) + part.columns * pass.length * filters * item_bytes;
    }
}

Index TapLists::offset(Index place) const {
    const std::vector<Index>&d = layout_.axes[0].slots, &h = layout_.axes[1].slots, &w = layout_.axes[2].slots;
    const auto taken = [&place](const std::vector<Index>& slots) {
        const Index count = static_cast<Index>(slots.size()), i = place % count;
        place /= count;
        return slots[static_cast<std::size_t>(i)];
    };
    const Index x = taken(w), y = taken(h), z = taken(d);
    return place * layout_.tap_volume() + z * layout_.plane + y * layout_.pitch + x;
}

}  // namespace conv3d
