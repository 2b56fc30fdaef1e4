// Transforms along one axis. The points are 0, pairs +a and -a, infinity. With M(x) = x Q(x^2) the product over all
// points, and R = Q / (x^2 - a^2), both without a factor before their highest power,
//     the row of 0 in B is Q over x0, x2, ..., the row of infinity is Q over x1, x3, ...,
//     the rows of a pair are E + a O and E - a O, with E = R over x2, x4, ... and O = R over x1, x3, ...;
// and in A the columns of a pair are a^j and (-a)^j: even outputs take the sum of a pair, odd ones the difference.
#pragma once

#include "simd.hpp"
#include "winograd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Transforms that follow each other: how many, and how far apart what they read and what they write lie.
struct Repeat {
    Index count, from, to;
};

// Factors: N/2-1 of Q, then for each pair N/2-2 of R, and a.
template <int N>
constexpr int forward_factors = N == 1 ? 1 : (N / 2 - 1) * (N / 2);

// The sum of `Terms` factors times every other input, and of the next as it is.
template <int Terms, class V>
inline V alternate(const V* factors, const V* x) {
    V sum = x[2 * Terms];
    CONV3D_UNROLL
    for (int i = 0; i < Terms; ++i) sum += x[2 * i] * factors[i];
    return sum;
}

template <class T, int N>
inline void forward_points(const typename Simd<T>::Vector (&b)[forward_factors<N>],
                           const typename Simd<T>::Vector (&x)[N], T* to, Index pitch) {
    using V = typename Simd<T>::Vector;
    constexpr int pairs = N / 2 - 1;
    store(to, alternate<pairs>(b, x));
    store(to + (N - 1) * pitch, alternate<pairs>(b, x + 1));
    CONV3D_UNROLL
    for (int pair = 0; pair < pairs; ++pair) {
        const V* r = b + pairs * (pair + 1);
        const V even = alternate<pairs - 1>(r, x + 2), odd = alternate<pairs - 1>(r, x + 1);
        store(to + (2 * pair + 1) * pitch, even + r[pairs - 1] * odd);
        store(to + (2 * pair + 2) * pitch, even - r[pairs - 1] * odd);
    }
}

// from[offsets[i] + tile] -> to[point * pitch + tile]. Factors and places are kept apart from memory that is written.
template <class T, int N>
void forward_of(const T* factors, const T* from, const Index* offsets, T* to, Index pitch, Index vectors,
                Repeat repeat) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    V b[forward_factors<N>], x[N];
    const T* places[N];
    if constexpr (N > 1)
        for (int i = 0; i < forward_factors<N>; ++i) b[i] = spread(factors[i]);
    for (; repeat.count > 0; --repeat.count, from += repeat.from, to += repeat.to) {
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
}

// from[point * pitch + tile] -> to[output * to_pitch + tile], plus a bias. Factors: for each output N/2-1 powers.
template <class T, int N, int M, bool Biased>
void inverse_of(const T* factors, const T* first, Index pitch, T* first_to, Index to_pitch, Index vectors,
                Repeat repeat, T bias) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    constexpr int pairs = N / 2 - 1;
    V a[M * pairs], sum[pairs], difference[pairs];
    for (int i = 0; i < M * pairs; ++i) a[i] = spread(factors[i]);
    const V start = spread(bias);
    for (; repeat.count > 0; --repeat.count, first += repeat.from, first_to += repeat.to) {
        for (Index v = 0; v < vectors; ++v) {
            const T* from = first + v * lanes;
            T* to = first_to + v * lanes;
            CONV3D_UNROLL
            for (int i = 0; i < pairs; ++i) {
                const V plus = load(from + (2 * i + 1) * pitch), minus = load(from + (2 * i + 2) * pitch);
                sum[i] = plus + minus;
                difference[i] = plus - minus;
            }
            CONV3D_UNROLL
            for (int j = 0; j < M; ++j) {
                const V* terms = j % 2 ? difference : sum;
                V y = j == 0 ? terms[0] : terms[0] * a[j * pairs];
                if (j == 0) y += load(from);
                if (j == M - 1) y += load(from + (N - 1) * pitch);
                if (Biased) y += start;
                CONV3D_UNROLL
                for (int i = 1; i < pairs; ++i)
                    if (j == 0)
                        y += terms[i];
                    else
                        y += terms[i] * a[j * pairs + i];
                store(to + j * to_pitch, y);
            }
        }
    }
}


template <class T>
void copy_biased(const T*, const T* from, Index, T* to, Index, Index vectors, Repeat repeat, T bias) {
    const typename Simd<T>::Vector start = spread(bias);
    for (; repeat.count > 0; --repeat.count, from += repeat.from, to += repeat.to)
        for (Index v = 0; v < vectors * Simd<T>::lanes; v += Simd<T>::lanes) store(to + v, load(from + v) + start);
}

template <class T>
using Inverse = void (*)(const T*, const T*, Index, T*, Index, Index, Repeat, T);

// By the outputs of a tile: those that kernels of 2 to 5 taps have.
template <class T, bool Biased>
inline Inverse<T> inverse_for(Index points, Index step) {
    constexpr Inverse<T> of_four[] = {inverse_of<T, 4, 2, Biased>, inverse_of<T, 4, 3, Biased>};
    constexpr Inverse<T> of_six[] = {inverse_of<T, 6, 2, Biased>, inverse_of<T, 6, 3, Biased>,
                                     inverse_of<T, 6, 4, Biased>, inverse_of<T, 6, 5, Biased>};
    constexpr Inverse<T> of_eight[] = {inverse_of<T, 8, 4, Biased>, inverse_of<T, 8, 5, Biased>,
                                       inverse_of<T, 8, 6, Biased>, inverse_of<T, 8, 7, Biased>};
    return points == 1   ? copy_biased<T>
           : points == 4 ? of_four[step - 2]
           : points == 6 ? of_six[step - 2]
                         : of_eight[step - 4];
}

template <class T>
using Forward = void (*)(const T*, const T*, const Index*, T*, Index, Index, Repeat);

template <class T>
inline Forward<T> forward_for(Index points) {
    return points == 1   ? forward_of<T, 1>
           : points == 4 ? forward_of<T, 4>
           : points == 6 ? forward_of<T, 6>
                         : forward_of<T, 8>;
}

template <class T>
inline void forward(const WinogradAxis& axis, const T* from, const Index* offsets, T* to, Index pitch, Index vectors,
                    Repeat repeat) {
    forward_for<T>(axis.points)(static_cast<const T*>(axis.inputs), from, offsets, to, pitch, vectors, repeat);
}

template <class T>
inline void inverse(const WinogradAxis& axis, const T* from, Index pitch, T* to, Index to_pitch, Index vectors,
                    Repeat repeat) {
    inverse_for<T, false>(axis.points, axis.step)(static_cast<const T*>(axis.outputs_of), from, pitch, to, to_pitch,
                                                  vectors, repeat, T(0));
}

// The last of the three, which adds the bias.
template <class T>
inline void inverse(const WinogradAxis& axis, const T* from, Index pitch, T* to, Index to_pitch, Index vectors,
                    Repeat repeat, T bias) {
    inverse_for<T, true>(axis.points, axis.step)(static_cast<const T*>(axis.outputs_of), from, pitch, to, to_pitch,
                                                 vectors, repeat, bias);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
