// The product at one point: sums[filter][tile] = sum over channels of weights[channel][filter] * values[channel][tile].
// Each run of channels is summed by itself, as the error of a sum grows with what is summed one after the other.
#pragma once

#include "simd.hpp"
#include "winograd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr int most_product_filters = wide_file ? 8 : 4;

// Vectors of tiles that a product takes at a time, of those left: three, and two where one would be left alone.
inline Index abreast_of(Index left) { return left == 4 ? 2 : left < 3 ? left : 3; }

template <class T, int F, int X>
void product_of(const T* first_weight, const T* first_value, Index value_pitch, const Runs& runs, T* sums,
                Index sum_pitch) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    for (const Run* run = runs.of; run < runs.of + runs.count; ++run) {
        V sum[F][X] = {};
        const T* weights = first_weight + run->first * F;
        const T* values = first_value + run->first * value_pitch;
        for (Index c = 0; c < run->count; ++c, weights += F, values += value_pitch) {
            V value[X];
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) {
                value[x] = load(values + x * lanes);
                hold(value[x]);
            }
            CONV3D_UNROLL
            for (int f = 0; f < F; ++f)
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[f][x] += value[x] * weights[f];
        }
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) {
                T* to = sums + f * sum_pitch + x * lanes;
                store(to, run == runs.of ? sum[f][x] : sum[f][x] + load(to));
            }
    }
}

template <class T>
using Product = void (*)(const T*, const T*, Index, const Runs&, T*, Index);

template <class T, int F>
inline Product<T> product_for(Index filters, Index vectors) {
    if constexpr (F > 1) {
        if (filters < F) return product_for<T, F / 2>(filters, vectors);
    }
    return vectors == 1 ? product_of<T, F, 1> : vectors == 2 ? product_of<T, F, 2> : product_of<T, F, 3>;
}

// All filters and tiles of one point. Three vectors of tiles at a time while they stay in the first-level cache.
template <class T>
void product(const T* weights, Index filters, Index channels, const Runs& runs, const T* values, T* sums, Index pitch,
             Index vectors) {
    constexpr Index lanes = Simd<T>::lanes;
    for (Index f = 0, width; f < filters; f += width) {
        width = block_of_filters(filters - f, most_product_filters);
        for (Index v = 0, some; v < vectors; v += some) {
            some = abreast_of(vectors - v);
            product_for<T, most_product_filters>(width, some)(weights + f * channels, values + v * lanes, pitch, runs,
                                                              sums + f * pitch + v * lanes, pitch);
        }
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
