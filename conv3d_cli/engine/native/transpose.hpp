// Rows to columns, for data in which channels or filters lie side by side.
#pragma once

#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// A square of 16-byte vectors: what every machine has, and enough to keep up with memory.
template <class T>
struct Square;

template <>
struct Square<float> {
    static constexpr Index side = 4;
    typedef float Row __attribute__((vector_size(16)));
    typedef float LooseRow __attribute__((vector_size(16), aligned(4), may_alias));
    static void turn(Row (&r)[4]) {
        const Row a = mix<0, 4, 1, 5>(r[0], r[1]), b = mix<0, 4, 1, 5>(r[2], r[3]);
        const Row c = mix<2, 6, 3, 7>(r[0], r[1]), d = mix<2, 6, 3, 7>(r[2], r[3]);
        r[0] = mix<0, 1, 4, 5>(a, b);
        r[1] = mix<2, 3, 6, 7>(a, b);
        r[2] = mix<0, 1, 4, 5>(c, d);
        r[3] = mix<2, 3, 6, 7>(c, d);
    }
    template <int I, int J, int K, int L>
    static Row mix(Row a, Row b) {
#if defined(__clang__)
        return __builtin_shufflevector(a, b, I, J, K, L);
#else
        typedef int Order __attribute__((vector_size(16)));
        return __builtin_shuffle(a, b, Order{I, J, K, L});
#endif
    }
};

template <>
struct Square<double> {
    static constexpr Index side = 2;
    typedef double Row __attribute__((vector_size(16)));
    typedef double LooseRow __attribute__((vector_size(16), aligned(8), may_alias));
    static void turn(Row (&r)[2]) {
        const Row first = {r[0][0], r[1][0]};
        r[1] = Row{r[0][1], r[1][1]};
        r[0] = first;
    }
};

// to[column * to_column + row] = from[row * from_row + column], for `rows` x `columns` values.
template <class T>
inline void transpose(T* to, Index to_column, const T* from, Index from_row, Index rows, Index columns) {
    constexpr Index side = Square<T>::side;
    using Loose = typename Square<T>::LooseRow;
    Index r = 0;
    for (; r + side <= rows; r += side) {
        Index c = 0;
        for (; c + side <= columns; c += side) {
            typename Square<T>::Row square[side];
            for (Index i = 0; i < side; ++i)
                square[i] = *reinterpret_cast<const Loose*>(from + (r + i) * from_row + c);
            Square<T>::turn(square);
            for (Index i = 0; i < side; ++i)
                *reinterpret_cast<Loose*>(to + (c + i) * to_column + r) = square[i];
        }
        for (; c < columns; ++c)
            for (Index i = r; i < r + side; ++i) to[c * to_column + i] = from[i * from_row + c];
    }
    for (; r < rows; ++r)
        for (Index c = 0; c < columns; ++c) to[c * to_column + r] = from[r * from_row + c];
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
