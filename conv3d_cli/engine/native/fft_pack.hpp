// Between arrays of any strides and vectors whose lanes are tiles: squares of lanes x lanes values are transposed.
#pragma once

#include "fft_square.hpp"
#include "fft_task.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

inline Index smaller(Index a, Index b) { return a < b ? a : b; }
inline Index larger(Index a, Index b) { return a > b ? a : b; }

template <int Size>
inline void copy_piece(float*& to, const float*& from, Index& count) {
    if (count < Size) return;
    __builtin_memcpy(to, from, Size * sizeof(float));
    to += Size, from += Size, count -= Size;
}

// At most as many values as lanes, in pieces of fixed size: faster than a call of memcpy.
inline void copy_few(float* to, const float* from, Index count) {
    if constexpr (lanes >= 8) copy_piece<8>(to, from, count);
    copy_piece<4>(to, from, count);
    copy_piece<2>(to, from, count);
    copy_piece<1>(to, from, count);
}

// Values low to high of a vector's, `step` apart; the others are zero and their memory is not touched.
inline Vector load_between(const float* from, Index step, Index low, Index high) {
    if (step == 1 && low < high) {
#if defined(__AVX512F__)
        return (Vector)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << high) - (1U << low)), from);
#elif defined(__AVX2__) && CONV3D_VECTOR_BYTES == 32
        const __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i mask = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(low)), at),
                                                 _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(high)), at));
        return (Vector)_mm256_maskload_ps(from, mask);
#endif
    }
    if (low == 0 && high == lanes) {  // put together in a register: a load must wait for so many stores to end
        Vector value{};
        CONV3D_UNROLL
        for (Index i = 0; i < lanes; ++i) value[i] = from[i * step];
        return value;
    }
    alignas(CONV3D_VECTOR_BYTES) float values[lanes] = {};
    for (Index i = low; i < high; ++i) values[i] = from[i * step];
    return load(values);
}

inline void store_first(float* to, Index step, Vector value, Index count) {
    if (step == 1) {
        if (count == lanes) return store(to, value);
#if defined(__AVX512F__)
        return _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1), (__m512)value);
#endif
    }
    alignas(CONV3D_VECTOR_BYTES) float values[lanes];
    store(values, value);
    if (step == 1)
        copy_few(to, values, count);
    else
        for (Index i = 0; i < count; ++i) to[i * step] = values[i];
}

// The tiles of an item, one a lane. Lanes beyond the last tile begin beyond what any output reads, and have none.
struct Places {
    const float* x[lanes];  // the batch entry and group, at the voxel where the tile begins, which may be outside
    float* out[lanes];
    Index first[3][lanes];  // the input voxel where the tile begins
    Index count[3][lanes];  // its outputs, none or less where a phase has fewer tiles than others
    // Where a row leaves the volume to something else than zeros: the input voxel along W that each of its entries is
    // read from, or `outside`.
    bool leaves;
    Index column[lanes][longest_row + lanes];
};

// The voxel that entry `i` of a tile is read from, along one axis, or `outside`.
inline Index voxel(const Places& places, const FftTask& task, int axis, Index lane, Index i) {
    return source(task.boundary.axes[axis], places.first[axis][lane] + i * task.dilation[axis]);
}

inline Places find_places(const FftTask& task, Index item) {
    Places places;
    places.leaves = false;
    const Index per_volume = task.tiles[0] * task.tiles[1] * task.tiles[2];
    const Index batches = (task.batch * per_volume + lanes - 1) / lanes;
    const Index group = item / batches;
    for (Index lane = 0; lane < lanes; ++lane) {
        Index tile = item % batches * lanes + lane;
        const bool there = tile < task.batch * per_volume;
        if (!there) tile = 0;
        const Index entry = tile / per_volume;
        const float* x = task.x + entry * task.x_strides[0] + group * task.channels * task.x_strides[1];
        float* out = task.out + entry * task.out_strides[0] + group * task.filters * task.out_strides[1];
        for (int axis = 2; axis >= 0; --axis) {
            // Neighbours are tiles of different phases, which read the same lines of memory.
            const Index steps = task.dilation[axis], index = tile % task.tiles[axis];
            const Index at = index % steps + index / steps * task.kept[axis] * steps;
            const Index first = at * task.stride[axis] - task.before[axis], left = task.outputs[axis] - at;
            tile /= task.tiles[axis];
            places.first[axis][lane] = there ? first : task.size[axis] + task.boundary.axes[axis].after;
            places.count[axis][lane] = there ? smaller(task.kept[axis], (left + steps - 1) / steps) : 0;
            x += first * task.x_strides[2 + axis];
            out += at * task.out_strides[2 + axis];
        }
        places.x[lane] = x;
        places.out[lane] = out;
        const Index left = places.first[2][lane], right = left + (task.tile[2] - 1) * task.dilation[2];
        places.leaves = places.leaves || (!task.boundary.is_zero && there && (left < 0 || right >= task.size[2]));
    }
    for (Index lane = 0; places.leaves && lane < lanes; ++lane)
        for (Index i = 0; i < task.tile[2] + lanes; ++i) places.column[lane][i] = voxel(places, task, 2, lane, i);
    return places;
}

// Values along a row of which some lie outside of the volume; `from` points to its first voxel.
inline Vector load_around(const FftTask& task, const Places& places, Index lane, const float* from, Index begin) {
    const Index step = task.x_strides[4];
    const Index* columns = places.column[lane] + begin;
    const float* volume = from - places.first[2][lane] * step;
    Vector value = spread(static_cast<float>(task.boundary.fill));
    CONV3D_UNROLL
    for (Index i = 0; i < lanes; ++i)
        if (columns[i] != outside) value[i] = volume[columns[i] * step];
    return value;
}

// Whether neighbouring channels (filters) are nearer in memory than neighbouring voxels of a row.
inline bool across(const Index (&strides)[5], Index count) {
    const Index a = strides[1] < 0 ? -strides[1] : strides[1], b = strides[4] < 0 ? -strides[4] : strides[4];
    return count > 1 && a < b;
}

// One row of a tile, of one channel: `from` points to its first voxel in each lane, or is null where all of it is the
// constant around the volume. `Leaves` as in its places.
template <bool Leaves>
inline void pack_row(const FftTask& task, const Places& places, const float* const (&from)[lanes], float* to) {
    const Index apart = task.dilation[2], step = task.x_strides[4] * apart, tile = task.tile[2];
    const Vector around = spread(static_cast<float>(task.boundary.fill));
    for (Index begin = 0; begin < tile; begin += lanes) {
        Vector square[lanes];
        CONV3D_UNROLL
        for (Index lane = 0; lane < lanes; ++lane) {
            const Index at = places.first[2][lane] + begin * apart, left = task.size[2] - at;
            if (from[lane] == nullptr)
                square[lane] = around;
            else if (step == 1 && at >= 0 && left >= lanes)
                square[lane] = load(from[lane] + begin);
            else if (Leaves && (at < 0 || left <= (lanes - 1) * apart))
                square[lane] = load_around(task, places, lane, from[lane], begin);
            else
                square[lane] = load_between(from[lane] + begin * step, step,
                                            smaller(larger(apart - 1 - at, 0) / apart, lanes),
                                            smaller(larger(left + apart - 1, 0) / apart, smaller(lanes, tile - begin)));
        }
        turn_square(square);
        for (Index i = 0; i < smaller(lanes, tile - begin); ++i) store(to + (begin + i) * lanes, square[i]);
    }
}

// One row of a tile, of several channels that lie side by side; `pitch` floats from channel to channel.
inline void pack_row_across(const FftTask& task, const Places& places, const float* const (&from)[lanes],
                            Index channels, float* to, Index pitch) {
    const Vector around = spread(static_cast<float>(task.boundary.fill));
    for (Index i = 0; i < task.tile[2]; ++i) {
        Vector square[lanes];
        CONV3D_UNROLL
        for (Index lane = 0; lane < lanes; ++lane) {
            const Index there = from[lane] == nullptr ? outside : voxel(places, task, 2, lane, i);
            square[lane] = around;
            if (there == outside) continue;
            const float* at = from[lane] + (there - places.first[2][lane]) * task.x_strides[4];
            square[lane] = task.x_strides[1] == 1 && channels == lanes
                               ? load(at)
                               : load_between(at, task.x_strides[1], 0, channels);
        }
        turn_square(square);
        for (Index c = 0; c < channels; ++c) store(to + c * pitch + i * lanes, square[c]);
    }
}

// Plane z of all tiles, of `channels` channels from `channel` on: rows of vectors, `pitch` floats from channel to
// channel. Several channels only where they are nearer than voxels.
inline void pack_plane(const FftTask& task, const Places& places, Index z, Index channel, Index channels, float* to,
                       Index pitch) {
    const Index* steps = task.x_strides;
    const float* plane[lanes];
    for (Index lane = 0; lane < lanes; ++lane) {
        const Index depth = voxel(places, task, 0, lane, z);
        plane[lane] = depth == outside ? nullptr
                                       : places.x[lane] + channel * steps[1] +
                                             (depth - places.first[0][lane]) * steps[2];
    }
    for (Index y = 0; y < task.tile[1]; ++y, to += task.tile[2] * lanes) {
        const float* from[lanes];
        for (Index lane = 0; lane < lanes; ++lane) {
            const Index row = voxel(places, task, 1, lane, y);
            const bool there = plane[lane] != nullptr && row != outside;
            from[lane] = there ? plane[lane] + (row - places.first[1][lane]) * steps[3] : nullptr;
        }
        if (channels > 1)
            pack_row_across(task, places, from, channels, to, pitch);
        else
            (places.leaves ? pack_row<true> : pack_row<false>)(task, places, from, to);
    }
}

// Where output (z, y, 0) of a filter lies in a lane's tile.
inline float* output(const FftTask& task, const Places& places, Index lane, Index filter, Index z, Index y) {
    const Index* steps = task.out_strides;
    return places.out[lane] + filter * steps[1] + z * task.dilation[0] * steps[2] + y * task.dilation[1] * steps[3];
}

// An output as it is stored. Held between its product and its sum, it has the same bits in rows of either kind, whether
// or not the compiler would make one FMA of the two.
inline Vector finished(const float* from, float scale, float bias) {
    Vector value = load(from) * scale;
    hold(value);
    return value + bias;
}

// One row of outputs of one filter to each tile's place.
inline void unpack_row(const FftTask& task, const Places& places, const float* from, Index z, Index y, Index filter,
                       float scale, float bias) {
    const Index step = task.out_strides[4] * task.dilation[2];
    for (Index begin = 0; begin < task.kept[2]; begin += lanes) {
        Vector square[lanes];
        CONV3D_UNROLL
        for (Index i = 0; i < lanes; ++i)
            square[i] = begin + i < task.kept[2] ? finished(from + (begin + i) * lanes, scale, bias) : Vector{};
        turn_square(square);
        CONV3D_UNROLL
        for (Index lane = 0; lane < lanes; ++lane) {
            const Index count = smaller(lanes, places.count[2][lane] - begin);
            if (z < places.count[0][lane] && y < places.count[1][lane] && count > 0)
                store_first(output(task, places, lane, filter, z, y) + begin * step, step, square[lane], count);
        }
    }
}

// One row of outputs of several filters that lie side by side; `pitch` floats from filter to filter.
inline void unpack_row_across(const FftTask& task, const Places& places, const float* from, Index pitch, Index z,
                              Index y, Index filter, Index filters, float scale, const float* bias) {
    const Index step = task.out_strides[4] * task.dilation[2];
    for (Index i = 0; i < task.kept[2]; ++i) {
        Vector square[lanes];
        CONV3D_UNROLL
        for (Index f = 0; f < lanes; ++f)
            square[f] = f < filters ? finished(from + f * pitch + i * lanes, scale, bias ? bias[f] : 0.0f) : Vector{};
        turn_square(square);
        CONV3D_UNROLL
        for (Index lane = 0; lane < lanes; ++lane)
            if (z < places.count[0][lane] && y < places.count[1][lane] && i < places.count[2][lane])
                store_first(output(task, places, lane, filter, z, y) + i * step, task.out_strides[1], square[lane],
                            filters);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
