// Copies between arrays of any strides and the contiguous rows that the tiles work on.
#pragma once

#include <utility>  // of which std::integer_sequence only: it is a type, no code comes of it

#include "transpose.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr Index strip = 16;  // voxels transposed at a time, so that both sides stay in the first-level cache

inline Index magnitude(Index n) { return n < 0 ? -n : n; }
inline Index least(Index a, Index b) { return a < b ? a : b; }
inline Index most(Index a, Index b) { return a > b ? a : b; }

// A block: its first output and its outputs, along each axis.
struct Block {
    Index first[3];
    Index count[3];
};

template <class T>
inline void clear(T* to, Index count) {
    if (count > 0) __builtin_memset(to, 0, static_cast<std::size_t>(count) * sizeof(T));
}

// One value, everywhere.
template <class T>
inline void flood(T* to, Index count, T value) {
    if (value == 0) {
        clear(to, count);
        return;
    }
    for (Index i = 0; i < count; ++i) to[i] = value;
}

template <class T>
struct Places;  // numbers of lanes, as wide as the lanes

template <>
struct Places<float> {
    typedef int Numbers __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
};

template <>
struct Places<double> {
    typedef long long Numbers __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
};

// Lanes of two vectors, counted through both.
template <class T, int... I>
inline typename Simd<T>::Vector lanes_of(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                         std::integer_sequence<int, I...>) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, I...);
#else
    return __builtin_shuffle(a, b, typename Places<T>::Numbers{I...});
#endif
}

// Of pieces of 16 bytes every second one, from the first (Odd = 0) or the second (Odd = 1) on.
template <class T, int Odd, int... I>
inline typename Simd<T>::Vector every_second_piece(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                                   std::integer_sequence<int, I...>) {
    constexpr int piece = 16 / sizeof(T);
    return lanes_of<T>(a, b, std::integer_sequence<int, (2 * (I / piece) + Odd) * piece + I % piece...>{});
}

// Of each piece of `a`, and then of the same piece of `b`, every second value.
template <class T, int Odd, int... I>
inline typename Simd<T>::Vector every_second_value(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                                   std::integer_sequence<int, I...>) {
    constexpr int piece = 16 / sizeof(T), lanes = sizeof...(I);
    return lanes_of<T>(
        a, b,
        std::integer_sequence<int, I / piece * piece + (I % piece < piece / 2 ? 0 : lanes) + 2 * I % piece + Odd...>{});
}

// Two vectors of values at even and at odd places. Values are moved within pieces of 16 bytes, and pieces as a whole:
// instructions that do both at once are slow, and are what the compiler makes of both steps where it sees through them.
template <class T>
struct Apart {
    typename Simd<T>::Vector even, odd;
};

template <class T>
inline Apart<T> apart(typename Simd<T>::Vector a, typename Simd<T>::Vector b) {
    constexpr std::make_integer_sequence<int, static_cast<int>(Simd<T>::lanes)> all;
    typename Simd<T>::Vector low = every_second_piece<T, 0>(a, b, all), high = every_second_piece<T, 1>(a, b, all);
    hold(low);
    hold(high);
    return {every_second_value<T, 0>(low, high, all), every_second_value<T, 1>(low, high, all)};
}

template <class T>
inline Apart<T> load_apart(const T* from) {
    return apart<T>(load(from), load(from + Simd<T>::lanes));
}

// Every second value. Whole vectors are read only as far as the last value that is wanted.
template <class T>
inline void copy_even(T* to, const T* from, Index count) {
    constexpr Index lanes = Simd<T>::lanes;
    Index i = 0;
    for (; i + lanes < count; i += lanes) store(to + i, load_apart(from + 2 * i).even);
    for (; i < count; ++i) to[i] = from[2 * i];
}

// So many pairs of values, at least as many as lanes: the first of each to one row, the second to another.
template <class T>
inline void copy_apart(T* even, T* odd, const T* from, Index count) {
    constexpr Index lanes = Simd<T>::lanes;
    for (Index i = 0; i < count; i += lanes) {
        const Index at = least(i, count - lanes);
        const Apart<T> values = load_apart(from + 2 * at);
        store(even + at, values.even);
        store(odd + at, values.odd);
    }
}

// Row by row: right where neighbours along the row are nearest to each other in memory.
template <class T>
inline void copy_rows(T* to, Index to_row, const T* from, Index from_row, Index step, Index rows, Index count) {
    for (Index r = 0; r < rows; ++r, to += to_row, from += from_row) {
        if (step == 1) {
            __builtin_memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
        } else if (step == 2) {
            copy_even(to, from, count);
        } else {
            for (Index i = 0; i < count; ++i) to[i] = from[i * step];
        }
    }
}

// The same, strip by strip: right where the rows are nearer to each other than the neighbours in a row.
template <class T>
inline void copy_strips(T* to, Index to_row, const T* from, Index from_row, Index step, Index rows, Index count) {
    for (Index begin = 0; begin < count; begin += strip) {
        const Index end = least(begin + strip, count);
        if (from_row == 1)
            transpose(to + begin, to_row, from + begin * step, step, end - begin, rows);
        else
            for (Index r = 0; r < rows; ++r)
                for (Index i = begin; i < end; ++i) to[r * to_row + i] = from[r * from_row + i * step];
    }
}

// Asks for a row of the input ahead of its turn: the hardware does not see the next plane coming.
template <class T>
inline void prefetch_row(const T* from, Index count) {
    for (Index i = 0; i < count; i += 64 / static_cast<Index>(sizeof(T))) __builtin_prefetch(from + i, 0, 2);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
