// The range of values in one pass, compiled once for each instruction set.

#include "range.hpp"
#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

constexpr Index lanes = Simd<double>::lanes;
constexpr Index width = 4;  // independent sums: an addition takes four cycles

using Doubles = Simd<double>::Vector;
using Floats = float __attribute__((vector_size(CONV3D_VECTOR_BYTES / 2)));
using LooseFloats = float __attribute__((vector_size(CONV3D_VECTOR_BYTES / 2), aligned(4), may_alias));

inline Doubles widened(const double* from) { return load(from); }

inline Doubles widened(const float* from) {
    const Floats narrow = *reinterpret_cast<const LooseFloats*>(from);
    return __builtin_convertvector(narrow, Doubles);
}

template <class T>
Range range_of(const T* from, Index count) {
    const double first = static_cast<double>(from[0]), no_number = __builtin_nan("");
    Doubles low[width], high[width], total[width] = {}, off[width] = {};
    for (Index j = 0; j < width; ++j) low[j] = high[j] = spread(first);
    Index i = 0;
    for (; i + width * lanes <= count; i += width * lanes) {
        CONV3D_UNROLL
        for (Index j = 0; j < width; ++j) {
            const Doubles value = widened(from + i + j * lanes);
            low[j] = value < low[j] ? value : low[j];
            high[j] = value > high[j] ? value : high[j];
            total[j] += value;
            off[j] += value - value;  // NaN for good once a value is infinite or NaN, else 0
        }
    }
    Range range = {first, first, 0};
    double spoiled = 0;
    for (Index j = 0; j < width; ++j) {
        for (Index lane = 0; lane < lanes; ++lane) {
            range.low = low[j][lane] < range.low ? low[j][lane] : range.low;
            range.high = high[j][lane] > range.high ? high[j][lane] : range.high;
            range.total += total[j][lane];
            spoiled += off[j][lane];
        }
    }
    for (; i < count; ++i) {
        const double value = static_cast<double>(from[i]);
        range.low = value < range.low ? value : range.low;
        range.high = value > range.high ? value : range.high;
        range.total += value;
        spoiled += value - value;
    }
    return spoiled == 0 ? range : Range{no_number, no_number, no_number};
}

Range of_floats(const float* from, Index count) { return range_of(from, count); }
Range of_doubles(const double* from, Index count) { return range_of(from, count); }

}  // namespace

extern const RangeUnit range_unit;
const RangeUnit range_unit = {of_floats, of_doubles};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
