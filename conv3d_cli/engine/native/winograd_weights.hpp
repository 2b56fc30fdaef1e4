// Kernels, transformed and in the order in which the products read them; and what tells of values beyond a tile's
// range.
#pragma once

#include "pack.hpp"
#include "winograd.hpp"
#include "winograd_product.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// to[a][point][b] = sum over taps of G[point][tap] * from[a][tap][b], for `before` x `after` values of a and b.
inline void apply_kernel(const WinogradFilters& t, int axis, const double* from, Index before, Index after,
                         double* to) {
    for (Index a = 0; a < before; ++a, from += t.taps[axis] * after)
        for (Index p = 0; p < t.points[axis]; ++p, to += after) {
            const double* g = t.factors[axis] + p * t.taps[axis];
            for (Index b = 0; b < after; ++b) to[b] = g[0] * from[b];
            for (Index k = 1; k < t.taps[axis]; ++k)
                for (Index b = 0; b < after; ++b) to[b] += g[k] * from[k * after + b];
        }
}

struct Tap {
    Index of[3];
};

// A tap of one residue of a channel: zero where the kernel ends before it.
template <class T>
inline double tap_of(const WinogradFilters& t, const T* kernel, const Index* s, Tap tap, Index channel, Index filter) {
    const Index sources = t.channels / (t.residues[0] * t.residues[1] * t.residues[2]);
    Index place = filter * s[4] + channel % sources * s[3], residue = channel / sources;
    for (int i = 2; i >= 0; --i) {
        const Index k = tap.of[i] * t.stride[i] + residue % t.residues[i];
        if (k >= t.whole[i]) return 0;
        place += k * s[i];
        residue /= t.residues[i];
    }
    return kernel[place];
}

// The kernels of some channels of one group: G along W, H and D in float64, filed by point. Those of two channels fill
// a line of the cache.
template <class T>
void weights(const WinogradFilters& t, const T* kernel, const Index* s, Index group, Index channel) {
    constexpr Index widest = kernel_channels * most_product_filters, cube = most_points * most_points * most_points;
    double taps[most_taps * most_taps * most_taps * widest], one[cube * widest], two[cube * widest];
    const Index points = t.points[1] * t.points[2], pairs = t.channels * t.filters;
    const Index channels = least(kernel_channels, t.channels - channel);
    T* to = static_cast<T*>(t.weights) + group * points * t.points[0] * pairs;
    for (Index f = 0, width; f < t.filters; f += width) {
        width = block_of_filters(t.filters - f, most_product_filters);
        const Index count = channels * width;
        double* tap = taps;
        for (Index z = 0; z < t.taps[0]; ++z)
            for (Index y = 0; y < t.taps[1]; ++y)
                for (Index x = 0; x < t.taps[2]; ++x)
                    for (Index c = channel; c < channel + channels; ++c)
                        for (Index i = 0; i < width; ++i)
                            *tap++ = tap_of(t, kernel, s, {z, y, x}, c, group * t.filters + f + i);
        apply_kernel(t, 2, taps, t.taps[0] * t.taps[1], count, one);
        apply_kernel(t, 1, one, t.taps[0], t.points[2] * count, two);
        apply_kernel(t, 0, two, 1, points * count, one);
        for (Index q = 0; q < t.points[0]; ++q)
            for (Index p = 0; p < points; ++p) {
                T* place = to + (p * t.points[0] + q) * pairs + f * t.channels + channel * width;
                for (Index i = 0; i < count; ++i) place[i] = static_cast<T>(one[(q * points + p) * count + i]);
            }
    }
}

// to[i] = sum over channels of the square of weights[channel][i].
template <class T, int F>
void squares_of(const T* weights, Index channels, double* to) {
    double sum[F] = {};
    for (Index c = 0; c < channels; ++c, weights += F)
        CONV3D_UNROLL
        for (int i = 0; i < F; ++i) {
            const double weight = weights[i];
            sum[i] += weight * weight;
        }
    for (int i = 0; i < F; ++i) to[i] = sum[i];
}

// Of all transformed kernels, [group][point][filter].
template <class T>
void energies(const WinogradFilters& t, double* to) {
    const T* from = static_cast<const T*>(t.weights);
    for (Index left = t.groups * t.points[0] * t.points[1] * t.points[2]; left > 0; --left)
        for (Index f = 0, width; f < t.filters; f += width, from += width * t.channels, to += width) {
            width = block_of_filters(t.filters - f, most_product_filters);
            const auto squares = width == 8   ? squares_of<T, 8>
                                 : width == 4 ? squares_of<T, 4>
                                 : width == 2 ? squares_of<T, 2>
                                              : squares_of<T, 1>;
            squares(from, t.channels, to);
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
