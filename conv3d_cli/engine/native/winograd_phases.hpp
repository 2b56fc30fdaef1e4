// Voxels of a row <-> the phases of its tiles, as many tiles at once as a vector has lanes. Two phases are the values
// at even and at odd places, and four are two of each.
#pragma once

#include "pack.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Within each piece of 16 bytes, the values of the first or the second half of `a` and of `b`, alternating.
template <class T, int Half, int... I>
inline typename Simd<T>::Vector alternate_values(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                                 std::integer_sequence<int, I...>) {
    constexpr int piece = 16 / sizeof(T), lanes = sizeof...(I);
    return lanes_of<T>(a, b,
                       std::integer_sequence<int, I / piece * piece + (Half * piece + I % piece) / 2 +
                                                      I % 2 * lanes...>{});
}

// The first or the second half of the pieces of `a` and of `b`, alternating.
template <class T, int Half, int... I>
inline typename Simd<T>::Vector alternate_pieces(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                                 std::integer_sequence<int, I...>) {
    constexpr int piece = 16 / sizeof(T), lanes = sizeof...(I), first = Half * lanes / piece;
    return lanes_of<T>(a, b,
                       std::integer_sequence<int, (first + I / piece) / 2 * piece + I % piece +
                                                      (first + I / piece) % 2 * lanes...>{});
}

// Values at even and at odd places, back in two vectors.
template <class T>
inline void join_apart(typename Simd<T>::Vector& a, typename Simd<T>::Vector& b) {
    constexpr std::make_integer_sequence<int, static_cast<int>(Simd<T>::lanes)> all;
    typename Simd<T>::Vector low = alternate_values<T, 0>(a, b, all), high = alternate_values<T, 1>(a, b, all);
    hold(low);
    hold(high);
    a = alternate_pieces<T, 0>(low, high, all);
    b = alternate_pieces<T, 1>(low, high, all);
}

// A vector of tiles of `Step` voxels each, 2 or 4, to vectors of their phases.
template <class T, int Step>
inline void split_tiles(const T* from, T* to, Index pitch) {
    constexpr Index lanes = Simd<T>::lanes;
    const Apart<T> first = load_apart(from);
    if constexpr (Step == 2) {
        store(to, first.even);
        store(to + pitch, first.odd);
    } else {
        const Apart<T> second = load_apart(from + 2 * lanes);
        const Apart<T> even = apart<T>(first.even, second.even), odd = apart<T>(first.odd, second.odd);
        store(to, even.even);
        store(to + pitch, odd.even);
        store(to + 2 * pitch, even.odd);
        store(to + 3 * pitch, odd.odd);
    }
}

template <class T, int Step>
inline void join_tiles(const T* from, Index pitch, T* to) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    if constexpr (Step == 2) {
        V a = load(from), b = load(from + pitch);
        join_apart<T>(a, b);
        store(to, a);
        store(to + lanes, b);
    } else {
        V a = load(from), b = load(from + pitch), c = load(from + 2 * pitch), d = load(from + 3 * pitch);
        join_apart<T>(a, c);
        join_apart<T>(b, d);
        join_apart<T>(a, b);
        join_apart<T>(c, d);
        store(to, a);
        store(to + lanes, b);
        store(to + 2 * lanes, c);
        store(to + 3 * lanes, d);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
