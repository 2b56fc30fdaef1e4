// The register tile: the one loop in which the time is spent.
//
// A tile is F filters x Y rows x X vectors along W of the output, all in registers. Each column of C taps along H is
// read from the slab as Y + C - 1 rows; row r serves every output row y with the tap r - y, so that for one filter,
// where the loads are what limits the speed, a vector that was loaded is used up to C times. Two multiply-adds a cycle
// that each take four cycles need eight sums at least; what registers are left hold the weights of a column. A sum takes
// C multiply-adds in a row, so that more than eight leave them room to wait: of 16 registers 5 x 2 sums, 5 weights and a
// value take all, and run a tenth faster than 8 x 1.
//
// W columns of equal weights are one column of the sums of their values: an addition in place of C multiply-adds.
#pragma once

#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T>
struct TileArgs {
    const T* source;       // the slab at the tile's first output
    Index pitch;           // from row to row
    const Index* offsets;  // [column][W]
    Index columns;
    const T* weights;  // [column][C][F]
    const T* bias;     // F values, or null
    T* out;            // whole vectors are written
    Index out_filter, out_row;  // from filter to filter, row to row; W has stride 1
    bool add;                   // to what `out` holds, instead of to the bias
    Index tiles;                // side by side along W
};

// The sums that a tile starts from. Those that are to be added start from -0, which changes no value it is added to.
template <class T, int F, int Y, int X>
inline void begin(const TileArgs<T>& a, typename Simd<T>::Vector (&sum)[F][Y][X]) {
    const typename Simd<T>::Vector start = spread(a.add || a.bias ? T(-0.0) : T(0));
    CONV3D_UNROLL
    for (int f = 0; f < F; ++f)
        CONV3D_UNROLL
        for (int y = 0; y < Y; ++y)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[f][y][x] = start;
}

// A pass has sums of its own, which are added to the bias or to those of the passes before it as a whole: rounding
// errors of a sum of n terms grow with n, those of a sum of sums hardly, and beside a large bias each small product by
// itself would be lost.
template <class T, int F, int Y, int X>
inline void end(const TileArgs<T>& a, T* out, typename Simd<T>::Vector (&sum)[F][Y][X]) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index filter = a.out_filter, row = a.out_row;
    if (a.bias && !a.add) {
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f) {
            const typename Simd<T>::Vector bias = spread(a.bias[f]);
            CONV3D_UNROLL
            for (int y = 0; y < Y; ++y)
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[f][y][x] += bias;
        }
    }
    if (a.add) {
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f)
            CONV3D_UNROLL
            for (int y = 0; y < Y; ++y)
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[f][y][x] += load(out + f * filter + y * row + x * lanes);
    }
    CONV3D_UNROLL
    for (int f = 0; f < F; ++f)
        CONV3D_UNROLL
        for (int y = 0; y < Y; ++y)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) store(out + f * filter + y * row + x * lanes, sum[f][y][x]);
}

constexpr int most_vectors = 3;

template <class T, int F, int Y, int X, int C, int W>
void tile(const TileArgs<T>& a) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    // Where several rows have few vectors, their values are held while the weights take turns: else each weight is.
    constexpr bool weights_last = F > 1 && Y > 1 && Y * X <= most_vectors;
    static_assert(F == 1 || C == 1, "columns are for one filter");
    const Index pitch = a.pitch;
    for (Index n = 0; n < a.tiles; ++n) {
        T* const out = a.out + n * X * lanes;
        V sum[F][Y][X];
        begin(a, sum);
        const T* w = a.weights;
        const T* const source = a.source + n * X * lanes;
        for (Index t = 0; t < a.columns; ++t, w += F * C) {
            const T* row[W];
            CONV3D_UNROLL
            for (int i = 0; i < W; ++i) row[i] = source + a.offsets[t * W + i];
            V values[Y + C - 1][X];
            CONV3D_UNROLL
            for (int r = 0; r < Y + C - 1; ++r) {
                V(&value)[X] = values[r];
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) {
                    value[x] = load(row[0] + x * lanes);
                    if ((C > 1 || weights_last) && W == 1) hold(value[x]);
                    CONV3D_UNROLL
                    for (int i = 1; i < W; ++i) value[x] += load(row[i] + x * lanes);
                    if (C == 1) continue;
                    CONV3D_UNROLL
                    for (int c = 0; c < C; ++c)
                        if (c <= r && r - c < Y) sum[0][r - c][x] += value[x] * w[c];
                }
                CONV3D_UNROLL
                for (int i = 0; i < W; ++i) row[i] += pitch;
                if (weights_last || C > 1) continue;
                CONV3D_UNROLL
                for (int f = 0; f < F; ++f)
                    CONV3D_UNROLL
                    for (int x = 0; x < X; ++x) sum[f][r][x] += value[x] * w[f];
            }
            if (!weights_last) continue;
            CONV3D_UNROLL
            for (int f = 0; f < F; ++f) {
                V weight = spread(w[f]);
                hold(weight);
                CONV3D_UNROLL
                for (int y = 0; y < Y; ++y)
                    CONV3D_UNROLL
                    for (int x = 0; x < X; ++x) sum[f][y][x] += values[y][x] * weight;
            }
        }
        end(a, out, sum);
    }
}

template <class T>
using Tile = void (*)(const TileArgs<T>&);

constexpr int most_filters = wide_file ? 8 : 4;
constexpr int most_rows = 8;
constexpr int longest_column = wide_file ? 7 : 5;

// Whether one filter takes rows in fives and vectors in twos: where a product needs no register of its own.
#if defined(__FMA__)
constexpr bool in_fives = !wide_file;
#else
constexpr bool in_fives = false;
#endif

// Rows of the largest tile for so many filters. With 16 registers four filters by three vectors are best.
constexpr int rows_of(Index filters) {
    return static_cast<int>(wide_file || filters < 4 ? most_rows / filters : 3);
}

constexpr int fewer_rows(Index filters, int rows) {
    if (filters == 1 && in_fives) return rows == 8 ? 5 : rows - 1;
    return rows == 3 ? 2 : rows / 2;
}

// Rows that a block should have a multiple of.
constexpr int rows_of_block(Index filters) { return filters == 1 && in_fives ? 5 : rows_of(filters); }

// Whether the vectors of a tile lie in one row as well as in as many rows: what is left of rows is then taken from
// several at once.
constexpr bool lies_either_way(Index filters) { return rows_of(filters) == most_vectors; }

// The longest tile for so many filters and rows.
constexpr int vectors_of(Index filters, Index rows) {
    return wide_file || filters * rows < 4 || (filters == 4 && rows == 1) ? most_vectors : filters * rows <= 5 ? 2 : 1;
}

template <class T, int F, int Y, int X, int C>
Tile<T> of_ways(Index ways) {
    if constexpr (may_share(F, C)) {
        if (ways == 4) return tile<T, F, Y, X, C, 4>;
        if (ways == 2) return tile<T, F, Y, X, C, 2>;
    }
    return tile<T, F, Y, X, C, 1>;
}

template <class T, int F, int Y, int C>
Tile<T> of_width(Index vectors, Index ways) {
    if constexpr (vectors_of(F, Y) >= 3) {
        if (vectors == 3) return of_ways<T, F, Y, 3, C>(ways);
    }
    if constexpr (vectors_of(F, Y) >= 2) {
        if (vectors == 2) return of_ways<T, F, Y, 2, C>(ways);
    }
    return of_ways<T, F, Y, 1, C>(ways);
}

template <class T, int F, int Y, int C>
Tile<T> of_rows(Index rows, Index vectors, Index ways) {
    if constexpr (Y > 1) {
        if (rows < Y) return of_rows<T, F, fewer_rows(F, Y), C>(rows, vectors, ways);
    }
    return of_width<T, F, Y, C>(vectors, ways);
}

template <class T, int C>
Tile<T> of_column(Index length, Index rows, Index vectors, Index ways) {
    if constexpr (C > 1) {
        if (length < C) return of_column<T, C - 1>(length, rows, vectors, ways);
    }
    return of_rows<T, 1, rows_of(1), C>(rows, vectors, ways);
}

template <class T, int F>
Tile<T> of_filters(Index filters, Index rows, Index vectors, Index ways) {
    if constexpr (F > 2) {
        if (filters < F) return of_filters<T, F / 2>(filters, rows, vectors, ways);
    }
    return of_rows<T, F, rows_of(F), 1>(rows, vectors, ways);
}

// Rows that a tile for so many filters takes when so many rows are left, each of so many vectors. An odd vector, which
// has a tile to itself, leaves five rows too few sums: unless most vectors are in twos, tiles of eight rows are better.
inline Index tile_rows(Index filters, Index left, Index vectors) {
    if (filters == 1 && in_fives && (vectors % 2 == 0 || vectors > 5)) {
        const Index parts = (left + 4) / 5;
        return (left + parts - 1) / parts;
    }
    int rows = rows_of(filters);
    while (rows > left) rows = fewer_rows(filters, rows);
    return rows;
}

template <class T>
Tile<T> find_tile(Index filters, const Pass& pass, Index rows, Index vectors) {
    return filters == 1 ? of_column<T, longest_column>(pass.length, rows, vectors, pass.ways)
                        : of_filters<T, most_filters>(filters, rows, vectors, pass.ways);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
