// Sums across rows, several outputs at once, in registers: weighted, and of boxes.
#pragma once

#include "separable.hpp"
#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T>
struct ColumnSum {
    const T* const* rows;  // [term][row]; output y, tap j reads row y + j
    Index rows_of_term;
    const T* weights;  // [term][tap]
    Index terms, taps;
    T* out;
    Index out_row;
    Index vectors;  // of each row
};

constexpr int column_rows = 4;
constexpr int column_vectors = wide_file ? 4 : 2;

// Y outputs from Y + taps - 1 rows, X vectors wide; `Taps` is their number where the compiler knows it, and else 0,
// which takes Y - 1 taps or more. A row is left out of the sums that do not hold it, rather than taken with weight 0: 0 times
// NaN is NaN. Each sum takes its taps in ascending order, whatever Y is.
template <class T, int Y, int X, int Taps>
inline __attribute__((always_inline)) void column_tile(const ColumnSum<T>& a, Index at, T* out, Index out_row) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    V sum[Y][X];
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[y][x] = V{};
    const Index terms = a.terms, taps = Taps > 0 ? Taps : a.taps;
    for (Index t = 0; t < terms; ++t) {
        const T* const* rows = a.rows + t * a.rows_of_term;
        const T* w = a.weights + t * taps;
        const auto add = [&](Index r, int first, int last) __attribute__((always_inline)) {
            V value[X];
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) {
                value[x] = load(rows[r] + at + x * lanes);
                hold(value[x]);
            }
            CONV3D_UNROLL
            for (int y = 0; y < Y; ++y) {
                if (y < first || y > last) continue;
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[y][x] += value[x] * w[r - y];
            }
        };
        if constexpr (Taps > 0) {
            CONV3D_UNROLL
            for (int r = 0; r < Y + Taps - 1; ++r) add(r, r < Taps ? 0 : r - Taps + 1, r < Y ? r : Y - 1);
        } else {
            CONV3D_UNROLL
            for (int r = 0; r < Y - 1; ++r) add(r, 0, r);
            for (Index r = Y - 1; r < taps; ++r) add(r, 0, Y - 1);
            CONV3D_UNROLL
            for (int r = 1; r < Y; ++r) add(taps - 1 + r, r, Y - 1);
        }
    }
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) store(out + y * out_row + at + x * lanes, sum[y][x]);
}

// What the tiles write could be part of `a`, for all the compiler knows: what each of them needs is read once, here.
template <class T, int Y, int Taps>
void column_sum(const ColumnSum<T>& a) {
    const Index vectors = a.vectors, out_row = a.out_row;
    T* const out = a.out;
    Index v = 0;
    for (; v + column_vectors <= vectors; v += column_vectors)
        column_tile<T, Y, column_vectors, Taps>(a, v * Simd<T>::lanes, out, out_row);
    for (; v < vectors; ++v) column_tile<T, Y, 1, Taps>(a, v * Simd<T>::lanes, out, out_row);
}

template <class T>
using ColumnSumOf = void (*)(const ColumnSum<T>&);

template <class T, int Y>
ColumnSumOf<T> column_sum_of_taps(Index taps) {
    return taps == 1 ? column_sum<T, Y, 1> : taps == 2 ? column_sum<T, Y, 2> : taps == 3 ? column_sum<T, Y, 3>
                                                                                        : column_sum<T, Y, 0>;
}

template <class T, int Y = column_rows>
ColumnSumOf<T> column_sum_of(Index rows, Index taps) {
    if constexpr (Y > 1) {
        if (rows < Y) return column_sum_of<T, Y / 2>(rows, taps);
    }
    return column_sum_of_taps<T, Y>(taps);
}

// The sums of `separable_step` neighbouring windows of equal weights, which must be as long at least: what all of them
// hold, and the sums up to it and from it on, as in [van Herk 1992; Gil, Werman 1993] for maxima. Which sums an output
// is put together from depends on its place among its neighbours.
template <class T, int X>
inline __attribute__((always_inline)) void box_tile(const ColumnSum<T>& a, Index at, T* out, Index out_row) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    constexpr int Y = separable_step;
    V sum[Y][X];
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[y][x] = V{};
    const Index terms = a.terms, taps = a.taps;
    for (Index t = 0; t < terms; ++t) {
        const T* const* rows = a.rows + t * a.rows_of_term;
        const T w = a.weights[t * taps];
        V run[X], part[4][X];  // parts: as many sums at a time as hide the latency of each
        const auto add = [&](V (&to)[X], Index r) __attribute__((always_inline)) {
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) to[x] += load(rows[r] + at + x * lanes) * w;
        };
        const auto give = [&](int y) __attribute__((always_inline)) {
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[y][x] += run[x];
        };
        const auto begin = [&](V (&to)[X]) __attribute__((always_inline)) {
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) to[x] = V{};
        };
        begin(run);
        CONV3D_UNROLL
        for (int y = Y - 2; y >= 0; --y) {
            add(run, y);
            give(y);
        }
        CONV3D_UNROLL
        for (int i = 0; i < 4; ++i) begin(part[i]);
        Index r = Y - 1;
        for (; r + 4 <= taps; r += 4)
            CONV3D_UNROLL
            for (int i = 0; i < 4; ++i) add(part[i], r + i);
        for (; r < taps; ++r) add(part[0], r);
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) run[x] = (part[0][x] + part[1][x]) + (part[2][x] + part[3][x]);
        CONV3D_UNROLL
        for (int y = 0; y < Y; ++y) give(y);
        begin(run);
        CONV3D_UNROLL
        for (int y = 1; y < Y; ++y) {
            add(run, taps + y - 1);
            give(y);
        }
    }
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) store(out + y * out_row + at + x * lanes, sum[y][x]);
}

template <class T>
void box_sum(const ColumnSum<T>& a) {
    constexpr int X = wide_file ? 2 : 1;
    const Index vectors = a.vectors, out_row = a.out_row;
    T* const out = a.out;
    Index v = 0;
    for (; v + X <= vectors; v += X) box_tile<T, X>(a, v * Simd<T>::lanes, out, out_row);
    for (; v < vectors; ++v) box_tile<T, 1>(a, v * Simd<T>::lanes, out, out_row);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
