// Kernels, transformed and in the order in which the products read them; and what tells of values beyond a tile's range.
#pragma once

#include "pack.hpp"
#include "winograd.hpp"
#include "winograd_product.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// to[a][point][b] = sum over taps of G[point][tap] * from[a][tap][b], for `before` x `after` values of a and b.
inline void apply_kernel(const WinogradAxis& axis, const double* from, Index before, Index after, double* to) {
    for (Index a = 0; a < before; ++a, from += axis.taps * after)
        for (Index p = 0; p < axis.points; ++p, to += after) {
            const double* g = axis.kernel + p * axis.taps;
            for (Index b = 0; b < after; ++b) to[b] = g[0] * from[b];
            for (Index k = 1; k < axis.taps; ++k)
                for (Index b = 0; b < after; ++b) to[b] += g[k] * from[k * after + b];
        }
}

// The kernels of some channels of one group: G along W, H and D in float64, filed by point. Those of two channels fill a
// line of the cache.
template <class T>
void weights(const WinogradTask& t, const T* kernel, const Index* s, Index group, Index channel) {
    const WinogradAxis* a = t.axes;
    constexpr Index widest = kernel_channels * most_product_filters, cube = most_points * most_points * most_points;
    double taps[most_taps * most_taps * most_taps * widest], one[cube * widest], two[cube * widest];
    const Index points = a[1].points * a[2].points, pairs = t.channels * t.filters;
    const Index channels = least(kernel_channels, t.channels - channel);
    T* to = static_cast<T*>(t.weights) + group * points * a[0].points * pairs;
    for (Index f = 0, width; f < t.filters; f += width) {
        width = block_of_filters(t.filters - f, most_product_filters);
        const Index count = channels * width;
        double* tap = taps;
        for (Index z = 0; z < a[0].taps; ++z)
            for (Index y = 0; y < a[1].taps; ++y)
                for (Index x = 0; x < a[2].taps; ++x)
                    for (Index c = channel; c < channel + channels; ++c)
                        for (Index i = 0; i < width; ++i)
                            *tap++ = kernel[z * s[0] + y * s[1] + x * s[2] + c * s[3] +
                                            (group * t.filters + f + i) * s[4]];
        apply_kernel(a[2], taps, a[0].taps * a[1].taps, count, one);
        apply_kernel(a[1], one, a[0].taps, a[2].points * count, two);
        apply_kernel(a[0], two, 1, points * count, one);
        for (Index q = 0; q < a[0].points; ++q)
            for (Index p = 0; p < points; ++p) {
                T* place = to + (p * a[0].points + q) * pairs + f * t.channels + channel * width;
                for (Index i = 0; i < count; ++i) place[i] = static_cast<T>(one[(q * points + p) * count + i]);
            }
    }
}

// The largest magnitude; infinite or NaN if any value is. Without their sign, numbers are ordered as their bits are.
template <class T, class Bits>
double largest(const void* values, Index count) {
    typedef Bits Alias __attribute__((may_alias));
    const Alias* bits = static_cast<const Alias*>(values);
    constexpr Bits unsigned_part = static_cast<Bits>(~(1ULL << (8 * sizeof(T) - 1)));
    Bits most_bits = 0;
    for (Index i = 0; i < count; ++i) {
        const Bits value = bits[i] & unsigned_part;
        most_bits = value > most_bits ? value : most_bits;
    }
    T result;
    __builtin_memcpy(&result, &most_bits, sizeof(T));
    return static_cast<double>(result);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
