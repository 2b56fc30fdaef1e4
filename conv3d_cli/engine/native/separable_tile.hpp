// Sums along one axis, in registers: across rows, several outputs at once, and along a row.
#pragma once

#include "separable.hpp"
#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T>
struct ColumnSum {
    const T* const* rows;  // [term][row]; output y, tap j reads row y + j
    Index rows_of_term;
    Index at;  // first element of each row
    const T* weights;  // [term][tap]
    Index terms, taps;
    T start;
    T* out;
    Index out_row;
    Index tail;  // outputs in the last vector
};

// Y outputs from Y + taps - 1 rows, X vectors wide. A row is left out of the sums that do not hold it, rather than
// taken with weight 0: 0 times NaN is NaN. Each sum takes its taps in ascending order, whatever Y is.
template <class T, int Y, int X>
void column_sum(const ColumnSum<T>& a) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    V sum[Y][X];
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[y][x] = spread(a.start);
    for (Index t = 0; t < a.terms; ++t) {
        const T* const* rows = a.rows + t * a.rows_of_term;
        const T* w = a.weights + t * a.taps;
        const auto add = [&](Index r, int first, int last) __attribute__((always_inline)) {
            V value[X];
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) {
                value[x] = load(rows[r] + a.at + x * lanes);
                hold(value[x]);
            }
            CONV3D_UNROLL
            for (int y = 0; y < Y; ++y) {
                if (y < first || y > last) continue;
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[y][x] += value[x] * w[r - y];
            }
        };
        CONV3D_UNROLL
        for (int r = 0; r < Y - 1; ++r) add(r, 0, r);
        for (Index r = Y - 1; r < a.taps; ++r) add(r, 0, Y - 1);
        CONV3D_UNROLL
        for (int r = 1; r < Y; ++r) add(a.taps - 1 + r, r, Y - 1);
    }
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) {
            T* to = a.out + y * a.out_row + x * lanes;
            if (x == X - 1 && a.tail < lanes)
                store_some(to, sum[y][x], a.tail);
            else
                store(to, sum[y][x]);
        }
}

template <class T>
using ColumnSumOf = void (*)(const ColumnSum<T>&);

constexpr int column_vectors = wide_file ? 4 : 2;

template <class T, int Y>
ColumnSumOf<T> column_sum_of(Index rows, Index vectors) {
    if constexpr (Y > 1) {
        if (rows < Y) return column_sum_of<T, Y / 2>(rows, vectors);
    }
    return vectors == 1 ? column_sum<T, Y, 1> : column_sum<T, Y, column_vectors>;
}

// X vectors of a row, each the sum over neighbours `step` apart.
template <class T, int X>
void row_sum(const T* from, Index step, const T* weights, Index taps, T* to) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    V sum[X];
    CONV3D_UNROLL
    for (int x = 0; x < X; ++x) sum[x] = V{};
    for (Index k = 0; k < taps; ++k, from += step)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[x] += load(from + x * lanes) * weights[k];
    CONV3D_UNROLL
    for (int x = 0; x < X; ++x) store(to + x * lanes, sum[x]);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
