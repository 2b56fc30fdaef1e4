// Rows between arrays of any strides and the phases of winograd.hpp: entry t * step + r of a row is entry t of phase r.
#pragma once

#include "pack.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T, int Step>
void split_row(const T* __restrict from, T* __restrict to, Index pitch, Index count) {
    for (Index t = 0; t < count; ++t) {
        CONV3D_UNROLL
        for (int r = 0; r < Step; ++r) to[r * pitch + t] = from[t * Step + r];
    }
}

template <class T, int Step>
void join_row(const T* __restrict from, Index pitch, T* __restrict to, Index count) {
    for (Index t = 0; t < count; ++t) {
        CONV3D_UNROLL
        for (int r = 0; r < Step; ++r) to[t * Step + r] = from[r * pitch + t];
    }
}

template <class T>
inline void split(Index step, const T* from, T* to, Index pitch, Index count) {
    constexpr decltype(&split_row<T, 1>) steps[] = {split_row<T, 1>, split_row<T, 2>, split_row<T, 3>, split_row<T, 4>,
                                                    split_row<T, 5>, split_row<T, 6>, split_row<T, 7>};
    steps[step - 1](from, to, pitch, count);
}

template <class T>
inline void join(Index step, const T* from, Index pitch, T* to, Index count) {
    constexpr decltype(&join_row<T, 1>) steps[] = {join_row<T, 1>, join_row<T, 2>, join_row<T, 3>, join_row<T, 4>,
                                                   join_row<T, 5>, join_row<T, 6>, join_row<T, 7>};
    steps[step - 1](from, pitch, to, count);
}

// The entries of one row from `begin`, which may lie before the row or end beyond it: zeros there.
template <class T>
void fetch_row(const T* from, Index stride, Index size, Index begin, Index count, T* to) {
    const Index low = begin < 0 ? least(-begin, count) : 0;
    const Index high = most(low, least(size - begin, count));
    clear(to, low);
    if (high > low && stride == 1)
        __builtin_memcpy(to + low, from + begin + low, static_cast<std::size_t>(high - low) * sizeof(T));
    else
        for (Index i = low; i < high; ++i) to[i] = from[(begin + i) * stride];
    clear(to + high, count - high);
}

// Asks for a row of the output before it is written.
template <class T>
inline void expect_row(const T* to, Index count) {
    for (Index i = 0; i < count; i += 64 / static_cast<Index>(sizeof(T))) __builtin_prefetch(to + i, 1, 3);
}

template <class T>
void put_row(const T* from, T* to, Index stride, Index count) {
    if (stride == 1)
        __builtin_memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
    else
        for (Index i = 0; i < count; ++i) to[i * stride] = from[i];
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
