// Rows between arrays of any strides and the phases of winograd.hpp: run t * step + r of a row is run t of phase r. A
// run holds as many voxels as the dilation; `Run` is 0 where it is none of those compiled for.
#pragma once

#include "boundary.hpp"
#include "pack.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T, int Step, int Run>
void split_row(const T* __restrict from, T* __restrict to, Index pitch, Index run, Index count) {
    const Index length = Run ? Run : run;
    for (Index t = 0; t < count; t += length) {
        CONV3D_UNROLL
        for (int r = 0; r < Step; ++r)
            for (Index i = 0; i < length; ++i) to[r * pitch + t + i] = from[t * Step + r * length + i];
    }
}

template <class T, int Step, int Run>
void join_row(const T* __restrict from, Index pitch, T* __restrict to, Index run, Index count) {
    const Index length = Run ? Run : run;
    for (Index t = 0; t < count; t += length) {
        CONV3D_UNROLL
        for (int r = 0; r < Step; ++r)
            for (Index i = 0; i < length; ++i) to[t * Step + r * length + i] = from[r * pitch + t + i];
    }
}

template <class T, int Run>
inline void split_runs(Index step, const T* from, T* to, Index pitch, Index run, Index count) {
    constexpr decltype(&split_row<T, 1, Run>) steps[] = {
        split_row<T, 1, Run>, split_row<T, 2, Run>, split_row<T, 3, Run>, split_row<T, 4, Run>,
        split_row<T, 5, Run>, split_row<T, 6, Run>, split_row<T, 7, Run>};
    steps[step - 1](from, to, pitch, run, count);
}

template <class T, int Run>
inline void join_runs(Index step, const T* from, Index pitch, T* to, Index run, Index count) {
    constexpr decltype(&join_row<T, 1, Run>) steps[] = {
        join_row<T, 1, Run>, join_row<T, 2, Run>, join_row<T, 3, Run>, join_row<T, 4, Run>,
        join_row<T, 5, Run>, join_row<T, 6, Run>, join_row<T, 7, Run>};
    steps[step - 1](from, pitch, to, run, count);
}

// `count` tiles, a multiple of `run`.
template <class T>
inline void split(Index step, Index run, const T* from, T* to, Index pitch, Index count) {
    (run == 1 ? split_runs<T, 1> : run == 2 ? split_runs<T, 2> : split_runs<T, 0>)(step, from, to, pitch, run, count);
}

template <class T>
inline void join(Index step, Index run, const T* from, Index pitch, T* to, Index count) {
    (run == 1 ? join_runs<T, 1> : run == 2 ? join_runs<T, 2> : join_runs<T, 0>)(step, from, pitch, to, run, count);
}

// The entries of one row from `begin`, which may lie before the row or end beyond it.
template <class T>
void fetch_row(const T* from, Index stride, const Edge& edge, Index begin, Index count, T fill, T* to) {
    const Index low = begin < 0 ? least(-begin, count) : 0;
    const Index high = most(low, least(edge.size - begin, count));
    flood(to, low, fill);
    if (high > low && stride == 1)
        __builtin_memcpy(to + low, from + begin + low, static_cast<std::size_t>(high - low) * sizeof(T));
    else
        for (Index i = low; i < high; ++i) to[i] = from[(begin + i) * stride];
    flood(to + high, count - high, fill);
    if (!edge.places) return;
    fill_outside(to, edge, begin, 1, low, from, stride, fill);
    fill_outside(to + high, edge, begin + high, 1, count - high, from, stride, fill);
}

// The same of several channels that lie side by side, to rows `pitch` apart.
template <class T>
void fetch_rows(const T* from, Index channel, Index stride, const Edge& edge, Index begin, Index count, T fill, T* to,
                Index pitch, Index channels) {
    const Index low = begin < 0 ? least(-begin, count) : 0;
    const Index high = most(low, least(edge.size - begin, count));
    copy_strips(to + low, pitch, from + (begin + low) * stride, channel, stride, channels, high - low);
    for (Index c = 0; c < channels; ++c, to += pitch, from += channel) {
        flood(to, low, fill);
        flood(to + high, count - high, fill);
        if (!edge.places) continue;
        fill_outside(to, edge, begin, 1, low, from, stride, fill);
        fill_outside(to + high, edge, begin + high, 1, count - high, from, stride, fill);
    }
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

// The same of several filters that lie side by side, from rows `pitch` apart.
template <class T>
void put_rows(const T* from, Index pitch, T* to, Index filter, Index stride, Index filters, Index count) {
    for (Index begin = 0; begin < count; begin += strip) {
        const Index end = least(begin + strip, count);
        if (filter == 1)
            transpose(to + begin * stride, stride, from + begin, pitch, filters, end - begin);
        else
            for (Index i = begin; i < end; ++i)
                for (Index f = 0; f < filters; ++f) to[f * filter + i * stride] = from[f * pitch + i];
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
