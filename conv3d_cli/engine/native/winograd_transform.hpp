// Transforms along one axis. The points are 0, pairs +a and -a, infinity, so that in B
//     the row of 0 has entries for x0, x2, ..., the row of infinity for x1, x3, ...,
//     the rows of a pair are E + O and E - O, with E a sum over x2, x4, ... and O one over x1, x3, ...;
// and in A the columns of a pair are a^j and (-a)^j: even outputs take the sum of a pair, odd ones the difference.
#pragma once

#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Factors: N/2 for point 0, N/2 for infinity, then for each pair N/2-1 of E and N/2-1 of O.
template <class T, int N>
inline void forward_points(const T* b, const typename Simd<T>::Vector (&x)[N], T* to, Index pitch) {
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
        const T* f = b + N + pair * (N - 2);
        V even = x[2] * f[0], odd = x[1] * f[half - 1];
        CONV3D_UNROLL
        for (int i = 1; i < half - 1; ++i) {
            even += x[2 * i + 2] * f[i];
            odd += x[2 * i + 1] * f[half - 1 + i];
        }
        store(to + (2 * pair + 1) * pitch, even + odd);
        store(to + (2 * pair + 2) * pitch, even - odd);
    }
}

// from[offsets[i] + tile] -> to[point * pitch + tile]
template <class T, int N>
void forward_of(const T* b, const T* from, const Index* offsets, T* to, Index pitch, Index vectors) {
    constexpr Index lanes = Simd<T>::lanes;
    for (Index v = 0; v < vectors; ++v, from += lanes, to += lanes) {
        if constexpr (N == 1) {
            store(to, load(from + offsets[0]));
        } else {
            typename Simd<T>::Vector x[N];
            CONV3D_UNROLL
            for (int i = 0; i < N; ++i) x[i] = load(from + offsets[i]);
            forward_points<T, N>(b, x, to, pitch);
        }
    }
}

// from[point * pitch + tile] -> to[output * to_pitch + tile], plus a bias. Factors: for each output N/2-1 powers.
template <class T, int N>
void inverse_of(const T* a, Index step, const T* from, Index pitch, T* to, Index to_pitch, Index vectors, T bias) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    constexpr int pairs = N / 2 - 1;
    const V start = spread(bias);
    for (Index v = 0; v < vectors; ++v, from += lanes, to += lanes) {
        if constexpr (N == 1) {
            store(to, load(from) + start);
        } else {
            V sum[pairs], difference[pairs];
            CONV3D_UNROLL
            for (int i = 0; i < pairs; ++i) {
                const V plus = load(from + (2 * i + 1) * pitch), minus = load(from + (2 * i + 2) * pitch);
                sum[i] = plus + minus;
                difference[i] = plus - minus;
            }
            const V infinity = load(from + (N - 1) * pitch);
            V begin = start + load(from);
            const T* powers = a;
            for (Index j = 0; j < step; j += 2) {
                V even = j + 1 == step ? begin + infinity : begin, odd = j + 2 == step ? start + infinity : start;
                begin = start;
                CONV3D_UNROLL
                for (int i = 0; i < pairs; ++i) even += sum[i] * powers[i];
                store(to + j * to_pitch, even);
                if (j + 1 == step) break;
                CONV3D_UNROLL
                for (int i = 0; i < pairs; ++i) odd += difference[i] * powers[pairs + i];
                store(to + (j + 1) * to_pitch, odd);
                powers += 2 * pairs;
            }
        }
    }
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
    const auto run = axis.points == 1   ? inverse_of<T, 1>
                     : axis.points == 4 ? inverse_of<T, 4>
                     : axis.points == 6 ? inverse_of<T, 6>
                                        : inverse_of<T, 8>;
    run(static_cast<const T*>(axis.outputs_of), axis.step, from, pitch, to, to_pitch, vectors, bias);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
