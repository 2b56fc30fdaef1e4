// Between rows of real voxels and rows of frequencies: as many rows at once as a vector has lanes.
//
// Squares of values are turned, so that each lane is a row while the transform along W is carried out, and turned back,
// so that lanes lie along frequency again.
#pragma once

#include "fft_long_lines.hpp"
#include "fft_square.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Rows of voxels `step` apart. Those from `low` to `high` are not zero, and the row begins at position `first` of an
// axis: those outside of the volume are read as its edge says, or are the constant `fill`, as a row without address.
struct VoxelRows {
    const float* at[lanes];
    Index step, low, high;
    Edge edge;
    Index first;
    float fill;
};

inline Vector load_voxels(const VoxelRows& rows, Index row, Index n) {
    const float* at = rows.at[row];
    if (at == nullptr) return spread(rows.fill);
    const Index position = rows.first + n;
    if (position >= 0 && position + lanes <= rows.edge.size && rows.step == 1) return load(at + n);
    alignas(CONV3D_VECTOR_BYTES) float values[lanes] = {};
    const Index low = larger(rows.low - n, 0), high = smaller(rows.high - n, lanes);
    const Index begin = smaller(larger(-position, low), high), end = smaller(larger(rows.edge.size - position, begin), high);
    for (Index i = begin; i < end; ++i) values[i] = at[(n + i) * rows.step];
    const float* volume = at - rows.first * rows.step;
    fill_outside(values + low, rows.edge, position + low, 1, begin - low, volume, rows.step, rows.fill);
    fill_outside(values + end, rows.edge, position + end, 1, high - end, volume, rows.step, rows.fill);
    return load(values);
}

inline void load_square(const VoxelRows& rows, Index n, Vector (&square)[lanes]) {
    if (n >= rows.high || n + lanes <= rows.low) {
        for (Vector& row : square) row = Vector{};
        return;
    }
    CONV3D_UNROLL
    for (Index row = 0; row < lanes; ++row) square[row] = load_voxels(rows, row, n);
    turn_square(square);
}

// The frequencies of `lanes` rows, for neighbouring columns of each block of a thread's own plane.
inline void forward_rows(const FftLongTask& task, const LongLine& along, const VoxelRows& rows, float* line,
                         float* to) {
    const Index half = task.lines[2].length;
    const float* twist = task.twist;
    for (Index n = 0; n < half; n += lanes) {
        Vector re[lanes], im[lanes];
        load_square(rows, n, re);
        load_square(rows, n + half, im);
        for (Index i = 0; i < smaller(lanes, half - n); ++i, twist += 2)
            put<false>(line + (n + i) * pair, turned({re[i], im[i]}, twist[0], twist[1]));
    }
    along.forward({line, pair, 0, half}, {line, pair, half});
    for (Index block = 0; block < task.blocks; ++block) {
        const float* from = line + block * lanes * pair;
        const Index there = smaller(lanes, half - block * lanes);
        for (Index part = 0; part < 2; ++part) {
            Vector square[lanes];
            CONV3D_UNROLL
            for (Index k = 0; k < lanes; ++k) square[k] = k < there ? load(from + k * pair + part * lanes) : Vector{};
            turn_square(square);
            float* at = to + block * task.own_pitch + part * lanes;
            CONV3D_UNROLL
            for (Index row = 0; row < lanes; ++row) store(at + row * pair, square[row]);
        }
    }
}

// Stores the voxels n, n + 1, ... of a row that are outputs, of the first of which `to` is the place.
inline void store_voxels(float* to, Index step, Index stride, Index count, Index n, Vector value) {
    if (step == 1 && stride == 1 && n + lanes <= count) return store(to + n, value);
    alignas(CONV3D_VECTOR_BYTES) float values[lanes];
    store(values, value);
    for (Index i = (stride - n % stride) % stride; i < lanes && (n + i) / stride < count; i += stride)
        to[(n + i) / stride * step] = values[i];
}

// Rows of voxels to be stored.
struct OutputRows {
    float* at[lanes];
    Index rows;   // that there are
    Index count;  // outputs of each
    float bias;
};

// The voxels of `lanes` rows of frequencies, `apart` floats from row to row.
inline void backward_rows(const FftLongTask& task, const LongLine& along, const float* from, Index apart, float* line,
                          const OutputRows& rows) {
    const Index half = task.lines[2].length, stride = task.stride[2], step = task.out_strides[4];
    for (Index block = 0; block < task.blocks; ++block)
        for (Index part = 0; part < 2; ++part) {
            Vector square[lanes];
            CONV3D_UNROLL
            for (Index row = 0; row < lanes; ++row)
                square[row] =
                    row < rows.rows ? load(from + block * task.own_pitch + row * apart + part * lanes) : Vector{};
            turn_square(square);
            float* to = line + block * lanes * pair + part * lanes;
            for (Index k = 0; k < smaller(lanes, half - block * lanes); ++k) store(to + k * pair, square[k]);
        }
    along.backward({line, pair, 0, half}, {line, pair, half});
    const Index in_half = smaller(rows.count, (half - 1) / stride + 1);
    const Index last = (rows.count - 1) * stride;  // the voxels beyond are not outputs
    for (Index n = 0; n < half && n <= last; n += lanes) {
        Vector re[lanes], im[lanes];
        CONV3D_UNROLL
        for (Index i = 0; i < lanes; ++i) {
            if (n + i >= half) {
                re[i] = im[i] = Vector{};
                continue;
            }
            const float* w = task.untwist + 2 * (n + i);
            const Complex value = turned(fetch<false>(line + (n + i) * pair), w[0], w[1]);
            re[i] = value.re + rows.bias;
            im[i] = value.im + rows.bias;
        }
        turn_square(re);
        for (Index row = 0; row < rows.rows; ++row) store_voxels(rows.at[row], step, stride, in_half, n, re[row]);
        if (n + half > last) continue;
        turn_square(im);
        for (Index row = 0; row < rows.rows; ++row)
            store_voxels(rows.at[row], step, stride, rows.count, n + half, im[row]);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
