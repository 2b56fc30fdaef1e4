// Which taps of a kernel have to be applied, and which of them share their weights.
//
// A tap of weight zero adds nothing to a finite value, and columns of equal weights, as a symmetric kernel has them, cost
// the multiply-adds of one if their values are summed first:  w a + w b = w (a + b).
#pragma once

#include <vector>

#include "layout.hpp"

namespace conv3d {

// A block of filters over a chunk of channels of a kernel (kd, kh, kw, channels, filters).
struct KernelPart {
    Index channel, channels, filter, filters;
};

// Columns of one length, so many of which share their weights.
template <class T>
struct Columns {
    Index length, ways;
    std::vector<Index> places;  // [column][way], of a column's first tap: ((channel * kd + z) * kh + y) * kw + x
    std::vector<T> weights;     // [column][tap][filter]
};

template <class T>
struct ChosenTaps {
    std::vector<Columns<T>> columns;
    std::vector<Index> left_out;  // places of the other taps
    double seconds, all_seconds;  // relative costs, of these and of all taps
    bool pays() const { return !columns.empty() && seconds < 0.85 * all_seconds; }
};

// Whether a kernel is worth a closer look: a cheap test, which most kernels fail at their first weights. Lists of its
// taps must not grow too large either.
template <class T>
bool worth_choosing(const Array& kernel, bool share, Index groups, Index most_filters);

// `longest` is the longest column for one filter, or 1 where taps along H are no neighbours; several filters take single
// taps. `share` allows for shared weights.
template <class T>
ChosenTaps<T> choose_taps(const Array& kernel, const KernelPart& part, Index longest, bool share);

// The cost of a kernel's taps as a share of what all of them cost; 1 where nothing is left out or shared.
double cost_share(const Array& kernel, bool is_double, Index groups, Index chunk, Index most_filters, Index longest);

}  // namespace conv3d
