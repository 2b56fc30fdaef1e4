#include "kernel_taps.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace conv3d {

namespace {

constexpr double pass_cost = 5;           // sums begun and stored
constexpr Index most_listed = Index(1) << 20;  // taps of all blocks of filters, for which lists may be made

// Nanoseconds of a column on a core with AVX2; only ratios matter. Loads grow with the columns that share their weights,
// multiply-adds do not.
double column_cost(Index length, Index ways, Index filters) {
    const double n = static_cast<double>(length), w = static_cast<double>(ways);
    return filters > 1 ? 1 + 1.1 * w : 1.2 * (n - 1) + (2.5 + 0.13 * n) * w;
}

template <class T>
class Chooser {
  public:
    Chooser(const Array& kernel, const KernelPart& part, Index longest, bool share)
        : kernel_(kernel), part_(part), longest_(part.filters == 1 ? longest : 1), share_(share) {}

    ChosenTaps<T> choose() {
        const std::vector<Index>& n = kernel_.shape;
        for (Index c = 0; c < part_.channels; ++c)
            for (Index z = 0; z < n[0]; ++z)
                for (Index x = 0; x < n[2]; ++x) cut(c, z, x);
        for (const auto& [weights, places] : alike_) take(weights, places);
        const Index pieces = (n[1] + longest_ - 1) / longest_;
        chosen_.all_seconds = pass_cost;
        for (Index i = 0; i < pieces; ++i)
            chosen_.all_seconds += static_cast<double>(part_.channels * n[0] * n[2]) *
                                   column_cost((n[1] + i) / pieces, 1, part_.filters);
        chosen_.seconds = 0;
        for (auto& [kind, columns] : found_) {
            const Index count = static_cast<Index>(columns.places.size()) / columns.ways;
            chosen_.seconds +=
                pass_cost + static_cast<double>(count) * column_cost(columns.length, columns.ways, part_.filters);
            chosen_.columns.push_back(std::move(columns));
        }
        return std::move(chosen_);
    }

  private:
    const T* at(Index c, Index z, Index y, Index x) const {
        const std::vector<Index>& s = kernel_.strides;
        return static_cast<const T*>(kernel_.data) + z * s[0] + y * s[1] + x * s[2] + (part_.channel + c) * s[3] +
               part_.filter * s[4];
    }

    bool zero(Index c, Index z, Index y, Index x) const {
        const T* from = at(c, z, y, x);
        for (Index f = 0; f < part_.filters; ++f)
            if (!(from[f * kernel_.strides[4]] == 0)) return false;
        return true;
    }

    Index place(Index c, Index z, Index y, Index x) const {
        const std::vector<Index>& n = kernel_.shape;
        return ((c * n[0] + z) * n[1] + y) * n[2] + x;
    }

    // The taps along H at one place, in runs from a weight to a weight: a single zero between two is cheaper than a
    // column more.
    void cut(Index c, Index z, Index x) {
        const Index taps = kernel_.shape[1];
        for (Index y = 0; y < taps;) {
            if (zero(c, z, y, x)) {
                chosen_.left_out.push_back(place(c, z, y++, x));
                continue;
            }
            Index end = y + 1;
            while (end < taps && longest_ > 1) {
                if (!zero(c, z, end, x))
                    ++end;
                else if (end + 1 < taps && !zero(c, z, end + 1, x))
                    end += 2;
                else
                    break;
            }
            const Index pieces = (end - y + longest_ - 1) / longest_;
            for (Index left = pieces, length; left > 0; y += length, --left) {
                length = (end - y + left - 1) / left;
                note(c, z, y, x, length);
            }
        }
    }

    void note(Index c, Index z, Index y, Index x, Index length) {
        weights_.clear();
        for (Index k = 0; k < length; ++k)
            for (Index f = 0; f < part_.filters; ++f) weights_.push_back(at(c, z, y + k, x)[f * kernel_.strides[4]]);
        if (share_ && may_share(part_.filters, length)) {
            const char* bytes = reinterpret_cast<const char*>(weights_.data());
            alike_[std::string(bytes, weights_.size() * sizeof(T))].push_back(place(c, z, y, x));
        } else {
            add(length, 1, {place(c, z, y, x)}, 0);
        }
    }

    // Columns of the same weights: in fours, then in twos.
    void take(const std::string& bytes, const std::vector<Index>& places) {
        weights_.resize(bytes.size() / sizeof(T));
        bytes.copy(reinterpret_cast<char*>(weights_.data()), bytes.size());
        const Index length = static_cast<Index>(weights_.size()) / part_.filters;
        std::size_t first = 0;
        for (const Index ways : {4, 2, 1})
            for (; first + static_cast<std::size_t>(ways) <= places.size(); first += static_cast<std::size_t>(ways))
                add(length, ways, places, first);
    }

    void add(Index length, Index ways, const std::vector<Index>& places, std::size_t first) {
        Columns<T>& to = found_[{-length, -ways}];
        to.length = length;
        to.ways = ways;
        const auto from = places.begin() + static_cast<std::ptrdiff_t>(first);
        to.places.insert(to.places.end(), from, from + ways);
        to.weights.insert(to.weights.end(), weights_.begin(), weights_.end());
    }

    const Array& kernel_;
    const KernelPart part_;
    const Index longest_;
    const bool share_;
    std::vector<T> weights_;
    std::map<std::string, std::vector<Index>> alike_;           // places by the bytes of their weights
    std::map<std::pair<Index, Index>, Columns<T>> found_;       // long columns first
    ChosenTaps<T> chosen_;
};

// Whether planes, or columns of a plane, are the same in reverse order, for all channels and filters.
template <class T>
bool mirrored(const Array& kernel, std::size_t axis) {
    const std::vector<Index>&n = kernel.shape, &s = kernel.strides;
    if (n[axis] < 2) return false;
    Index i[5];
    for (i[0] = 0; i[0] < n[0]; ++i[0])
        for (i[1] = 0; i[1] < n[1]; ++i[1])
            for (i[2] = 0; i[2] < n[2]; ++i[2])
                for (i[3] = 0; i[3] < n[3]; ++i[3])
                    for (i[4] = 0; i[4] < n[4]; ++i[4]) {
                        Index at = 0;
                        for (std::size_t k = 0; k < 5; ++k) at += i[k] * s[k];
                        const T* data = static_cast<const T*>(kernel.data);
                        if (data[at] != data[at + (n[axis] - 1 - 2 * i[axis]) * s[axis]]) return false;
                    }
    return true;
}

// Whether an eighth of the weights is zero.
template <class T>
bool many_zeros(const Array& kernel) {
    const std::vector<Index>&n = kernel.shape, &s = kernel.strides;
    Index zeros = 0, all = 1;
    for (Index size : n) all *= size;
    for (Index z = 0; z < n[0]; ++z)
        for (Index y = 0; y < n[1]; ++y)
            for (Index x = 0; x < n[2]; ++x)
                for (Index c = 0; c < n[3]; ++c) {
                    const T* from = static_cast<const T*>(kernel.data) + z * s[0] + y * s[1] + x * s[2] + c * s[3];
                    for (Index f = 0; f < n[4]; ++f) zeros += from[f * s[4]] == 0;
                }
    return 8 * zeros >= all;
}

template <class T>
double share_of(const Array& kernel, Index groups, Index chunk, Index most_filters, Index longest) {
    const Index channels = kernel.shape[3], filters = kernel.shape[4] / groups;
    const bool share = chunk >= channels;
    if (!worth_choosing<T>(kernel, share, groups, most_filters)) return 1;
    double chosen = 0, all = 0;
    for (Index g = 0; g < groups; ++g)
        for (Index f = 0, width; f < filters; f += width) {
            width = block_of_filters(filters - f, most_filters);
            for (Index c = 0; c < channels; c += chunk) {
                const KernelPart part{c, std::min(chunk, channels - c), g * filters + f, width};
                const ChosenTaps<T> taps = choose_taps<T>(kernel, part, longest, share);
                chosen += taps.pays() ? taps.seconds : taps.all_seconds;
                all += taps.all_seconds;
            }
        }
    return chosen / all;
}

}  // namespace

template <class T>
bool worth_choosing(const Array& kernel, bool share, Index groups, Index most_filters) {
    const std::vector<Index>& n = kernel.shape;
    const Index taps = n[0] * n[1] * n[2] * n[3] * groups * blocks_of_filters(n[4] / groups, most_filters);
    if (taps > most_listed) return false;
    return (share && (mirrored<T>(kernel, 0) || mirrored<T>(kernel, 2))) || many_zeros<T>(kernel);
}

template <class T>
ChosenTaps<T> choose_taps(const Array& kernel, const KernelPart& part, Index longest, bool share) {
    return Chooser<T>(kernel, part, longest, share).choose();
}

template bool worth_choosing<float>(const Array&, bool, Index, Index);
template bool worth_choosing<double>(const Array&, bool, Index, Index);
template ChosenTaps<float> choose_taps<float>(const Array&, const KernelPart&, Index, bool);
template ChosenTaps<double> choose_taps<double>(const Array&, const KernelPart&, Index, bool);

double cost_share(const Array& kernel, bool is_double, Index groups, Index chunk, Index most_filters, Index longest) {
    return is_double ? share_of<double>(kernel, groups, chunk, most_filters, longest)
                     : share_of<float>(kernel, groups, chunk, most_filters, longest);
}

}  // namespace conv3d
