// Rows between arrays of any strides and the phases of winograd.hpp: run t * step + r of a row is run t of phase r. A
// run holds as many voxels as the dilation; `Run` is 0 where it is none of those compiled for.
#pragma once

#include "boundary.hpp"
#include "winograd_phases.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// The tiles of a row, from voxel `begin` on; those from `low` to before `high` lie within the input.
struct Columns {
    Index begin, tiles, low, high;
};

// Goes through so many tiles in whole vectors, the last of which may overlap the one before it; returns how many are
// done. A few that are left over are sooner done one by one.
template <class T, class Tiles>
inline Index in_vectors(Index count, Tiles tiles) {
    constexpr Index lanes = Simd<T>::lanes, few = 2;
    if (count < lanes) return 0;
    Index t = 0;
    for (; t + lanes <= count; t += lanes) tiles(t);
    if (count - t <= few) return t;
    tiles(count - lanes);
    return count;
}

template <class T, int Step, int Run>
struct Split {
    static void apply(const T* __restrict from, T* __restrict to, Index pitch, Index run, Index count) {
        const Index length = Run ? Run : run;
        Index t = 0;
        if constexpr (Run == 1 && (Step == 2 || Step == 4))
            t = in_vectors<T>(count, [=](Index at) { split_tiles<T, Step>(from + at * Step, to + at, pitch); });
        if constexpr (Run == 1 && Step >= Square<T>::side)
            transpose(to + t, pitch, from + t * Step, Step, count - t, Step);
        else
            for (; t < count; t += length)
                CONV3D_UNROLL
                for (int r = 0; r < Step; ++r)
                    for (Index i = 0; i < length; ++i) to[r * pitch + t + i] = from[t * Step + r * length + i];
    }
};

template <class T, int Step, int Run>
struct Join {
    static void apply(const T* __restrict from, Index pitch, T* __restrict to, Index run, Index count) {
        const Index length = Run ? Run : run;
        Index t = 0;
        if constexpr (Run == 1 && (Step == 2 || Step == 4))
            t = in_vectors<T>(count, [=](Index at) { join_tiles<T, Step>(from + at, pitch, to + at * Step); });
        if constexpr (Run == 1 && Step >= Square<T>::side)
            transpose(to + t * Step, Step, from + t, pitch, Step, count - t);
        else
            for (; t < count; t += length)
                CONV3D_UNROLL
                for (int r = 0; r < Step; ++r)
                    for (Index i = 0; i < length; ++i) to[t * Step + r * length + i] = from[r * pitch + t + i];
    }
};

// A row of the input whose voxels lie side by side, split where it stands; its ends may lie outside.
template <class T, int Step, int Run>
struct SplitLine {
    static void apply(const T* line, const Edge& edge, const Columns& c, T fill, T* to, Index pitch, Index run) {
        end(line, edge, c.begin, fill, to, pitch, run, 0, c.low);
        Split<T, Step, Run>::apply(line + c.begin + c.low * Step, to + c.low, pitch, run, c.high - c.low);
        end(line, edge, c.begin, fill, to, pitch, run, c.high, c.tiles);
    }

    static void end(const T* line, const Edge& edge, Index begin, T fill, T* to, Index pitch, Index run, Index first,
                    Index last) {
        const Index length = Run ? Run : run;
        for (Index t = first; t < last; t += length)
            CONV3D_UNROLL
            for (int r = 0; r < Step; ++r)
                for (Index i = 0; i < length; ++i) {
                    const Index at = begin + t * Step + r * length + i;
                    T& entry = to[r * pitch + t + i];
                    if (at >= 0 && at < edge.size)
                        entry = line[at];
                    else if (!edge.places)
                        entry = fill;
                    else
                        fill_outside(&entry, edge, at, 1, 1, line, 1, fill);
                }
    }
};

template <template <class, int, int> class Of, class T, int Run>
inline auto of_step(Index step) {
    static constexpr decltype(&Of<T, 1, Run>::apply) steps[] = {
        Of<T, 1, Run>::apply, Of<T, 2, Run>::apply, Of<T, 3, Run>::apply, Of<T, 4, Run>::apply,
        Of<T, 5, Run>::apply, Of<T, 6, Run>::apply, Of<T, 7, Run>::apply};
    return steps[step - 1];
}

// The one of those above for a step and a run. They take numbers of tiles that are multiples of the run.
template <template <class, int, int> class Of, class T>
inline auto row_function(Index step, Index run) {
    return (run == 1 ? of_step<Of, T, 1> : run == 2 ? of_step<Of, T, 2> : of_step<Of, T, 0>)(step);
}

template <class T>
inline void split(Index step, Index run, const T* from, T* to, Index pitch, Index count) {
    row_function<Split, T>(step, run)(from, to, pitch, run, count);
}

template <class T>
inline void join(Index step, Index run, const T* from, Index pitch, T* to, Index count) {
    row_function<Join, T>(step, run)(from, pitch, to, run, count);
}

template <class T>
inline void split_line(Index step, Index run, const T* line, const Edge& edge, const Columns& columns, T fill, T* to,
                       Index pitch) {
    row_function<SplitLine, T>(step, run)(line, edge, columns, fill, to, pitch, run);
}

// The entries of one row from `begin`, which may lie before the row or end beyond it. A row is short: to call what
// copies and fills memory would take longer than it does.
template <class T>
void fetch_row(const T* from, Index stride, const Edge& edge, Index begin, Index count, T fill, T* to) {
    const Index low = begin < 0 ? least(-begin, count) : 0;
    const Index high = most(low, least(edge.size - begin, count));
    Index i = 0;
    for (; i < low; ++i) to[i] = fill;
    if (stride == 1)
        for (; i + Simd<T>::lanes <= high; i += Simd<T>::lanes) store(to + i, load(from + begin + i));
    for (; i < high; ++i) to[i] = from[(begin + i) * stride];
    for (; i < count; ++i) to[i] = fill;
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
