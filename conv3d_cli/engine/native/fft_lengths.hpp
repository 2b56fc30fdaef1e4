// The lengths of transforms that there are.
#pragma once

#include "fft_lines.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

struct RowLength {
    Index length;
    void (*forward)(const float*, float*, Index rows);
    void (*backward)(const float*, float*, Index rows);
    void (*folded)(const float*, float*, Index rows, Index folds);
};

template <int N>
constexpr RowLength row_length{N, transform_rows<N>, restore_rows<N>, restore_folded_rows<N>};

constexpr RowLength row_lengths[] = {row_length<4>,  row_length<6>,  row_length<8>,  row_length<10>, row_length<12>,
                                     row_length<16>, row_length<20>, row_length<24>, row_length<32>};

struct LineLength {
    Index length;
    void (*forward)(From, To, Index count, Index kept);
    void (*backward)(From, To, Index count, Index kept);
    void (*folded)(From, To, Index count, Index kept, Index folds);
};

template <int N>
constexpr LineLength line_length{N, transform_lines<N, false>, transform_lines<N, true>, restore_folded_lines<N>};

constexpr LineLength line_lengths[] = {
    line_length<1>,  line_length<2>,  line_length<3>,  line_length<4>,  line_length<5>,  line_length<6>, line_length<8>,
    line_length<10>, line_length<12>, line_length<16>, line_length<20>, line_length<24>, line_length<32>};

template <class Table>
const auto* find(const Table& table, Index length) {
    for (const auto& row : table)
        if (row.length == length) return &row;
    return static_cast<decltype(&table[0])>(nullptr);
}

inline bool known(Index length, bool real) {
    return real ? !!find(row_lengths, length) : !!find(line_lengths, length);
}

inline void restore_lines(Index length, Index folds, From from, To to, Index count, Index kept) {
    const LineLength& lines = *find(line_lengths, length);
    if (folds == 1) return lines.backward(from, to, count, kept);
    lines.folded(from, to, count, kept, folds);
}

inline void restore_rows(Index length, Index folds, const float* from, float* to, Index rows) {
    const RowLength& row = *find(row_lengths, length);
    if (folds == 1) return row.backward(from, to, rows);
    row.folded(from, to, rows, folds);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
