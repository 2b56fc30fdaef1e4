// Transforms along one axis. The points are 0, pairs +a and -a, infinity, so that in B
//     the row of 0 has entries for x0, x2, ..., the row of infinity for x1, x3, ...,
//     the rows of a pair are E + O and E - O, with E a sum over x2, x4, ... and O one over x1, x3, ...;
// and in A the columns of a pair are a^j and (-a)^j: even outputs take the sum of a pair, odd ones the difference.
#pragma once

#include "simd.hpp"
#include "winograd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Factors: N/2 for point 0, N/2 for infinity, then for each pair N/2-1 of E and N/2-1 of O.
template <int N>
constexpr int forward_factors = N == 1 ? 1 : N + (N / 2 - 1) * (N - 2);

template <class T, int N>
inline void forward_points(const typename Simd<T>::Vector (&b)[forward_factors<N>],
                           const typename Simd<T>::Vector (&x)[N], T* to, Index pitch) {
    using V = typename Simd<T>::Vector;
    constexpr int half = N / 2;
    V zero = x[0] * b[0], infinity = x[1] * b[half];
    CONV3D_UNROLL
    for (int i = 1; i < half; ++i) {
        zero += x[2 * i] * b[i];
        infinity += x[2 * i + 1] * b[half + i];
    }
    store(to, zero);
    store(to + (N - 1) * pitch, infinity);
    CONV3D_UNROLL
    for (int pair = 0; pair < half - 1; ++pair) {
        const int f = N + pair * (N - 2);
        V even = x[2] * b[f], odd = x[1] * b[f + half - 1];
        CONV3D_UNROLL
        for (int i = 1; i < half - 1; ++i) {
            even += x[2 * i + 2] * b[f + i];
            odd += x[2 * i + 1] * b[f + half - 1 + i];
        }
        store(to + (2 * pair + 1) * pitch, even + odd);
        store(to + (2 * pair + 2) * pitch, even - odd);
    }
}

// from[offsets[i] + tile] -> to[point * pitch + tile]. Factors and places are kept apart from memory that is written.
template <class T, int N>
void forward_of(const T* factors, const T* from, const Index* offsets, T* to, Index pitch, Index vectors) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    V b[forward_factors<N>], x[N];
    const T* places[N];
    if constexpr (N > 1)
        for (int i = 0; i < forward_factors<N>; ++i) b[i] = spread(factors[i]);
    CONV3D_UNROLL
    for (int i = 0; i < N; ++i) places[i] = from + offsets[i];
    for (Index v = 0; v < vectors * lanes; v += lanes) {
        CONV3D_UNROLL
        for (int i = 0; i < N; ++i) x[i] = load(places[i] + v);
        if constexpr (N == 1)
            store(to + v, x[0]);
        else
            forward_points<T, N>(b, x, to + v, pitch);
    }
}

// from[point * pitch + tile] -> to[output * to_pitch + tile], plus a bias. Factors: for each output N/2-1 powers.
template <class T, int N, int M>
void inverse_of(const T* factors, const T* from, Index pitch, T* to, Index to_pitch, Index vectors, T bias) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    constexpr int pairs = N / 2 - 1;
    V a[M * pairs], sum[pairs], difference[pairs];
    for (int i = 0; i < M * pairs; ++i) a[i] = spread(factors[i]);
    const V start = spread(bias);
    for (Index v = 0; v < vectors; ++v, from += lanes, to += lanes) {
        CONV3D_UNROLL
        for (int i = 0; i < pairs; ++i) {
            const V plus = load(from + (2 * i + 1) * pitch), minus = load(from + (2 * i + 2) * pitch);
            sum[i] = plus + minus;
            difference[i] = plus - minus;
        }
        CONV3D_UNROLL
        for (int j = 0; j < M; ++j) {
            V y = j == 0 ? start + load(from) : j == M - 1 ? start + load(from + (N - 1) * pitch) : start;
            CONV3D_UNROLL
            for (int i = 0; i < pairs; ++i) y += (j % 2 ? difference[i] : sum[i]) * a[j * pairs + i];
            store(to + j * to_pitch, y);
        }
    }
}

template <class T>
void copy_biased(const T*, const T* from, Index, T* to, Index, Index vectors, T bias) {
    const typename Simd<T>::Vector start = spread(bias);
    for (Index v = 0; v < vectors * Simd<T>::lanes; v += Simd<T>::lanes) store(to + v, load(from + v) + start);
}

template <class T>
using Inverse = void (*)(const T*, const T*, Index, T*, Index, Index, T);

// By the outputs of a tile: those that kernels of 2 to 5 taps have.
template <class T>
inline Inverse<T> inverse_for(Index points, Index step) {
    constexpr Inverse<T> of_four[] = {inverse_of<T, 4, 2>, inverse_of<T, 4, 3>};
    constexpr Inverse<T> of_six[] = {inverse_of<T, 6, 2>, inverse_of<T, 6, 3>, inverse_of<T, 6, 4>, inverse_of<T, 6, 5>};
    constexpr Inverse<T> of_eight[] = {inverse_of<T, 8, 4>, inverse_of<T, 8, 5>, inverse_of<T, 8, 6>,
                                       inverse_of<T, 8, 7>};
    return points == 1   ? copy_biased<T>
           : points == 4 ? of_four[step - 2]
           : points == 6 ? of_six[step - 2]
                         : of_eight[step - 4];
}

template <class T>
inline void forward(const WinogradAxis& axis, const T* from, const Index* offsets, T* to, Index pitch, Index vectors) {
    const auto run = axis.points == 1   ? forward_of<T, 1>
                     : axis.points == 4 ? forward_of<T, 4>
                     : axis.points == 6 ? forward_of<T, 6>
                                        : forward_of<T, 8>;
    run(static_cast<const T*>(axis.inputs), from, offsets, to, pitch, vectors);
}

template <class T>
inline void inverse(const WinogradAxis& axis, const T* from, Index pitch, T* to, Index to_pitch, Index vectors, T bias) {
    inverse_for<T>(axis.points, axis.step)(static_cast<const T*>(axis.outputs_of), from, pitch, to, to_pitch, vectors,
                                           bias);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
