// The register tiles of a pointwise convolution: filters x vectors of voxels, or voxels x vectors of filters.
#pragma once

#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Voxels of the next block, some of its channels, which tiles copy into another slab as they go: multiply-adds wait for
// registers, copies for memory, and so neither for the other.
template <class T>
struct PointwiseAhead {
    const T* from;   // first voxel of the first channel
    Index step;      // elements from channel to channel
    T* to;           // first panel, first channel; panels are as far apart as those that are read
    Index channels;  // none where nothing is copied
};

template <class T>
struct PointwiseTile {
    const T* source;       // first voxel (and channel)
    Index channel, voxel;  // elements of `source` from channel to channel, voxel to voxel
    Index channels;
    const T* weights;
    const T* bias;  // or null: added last, for beside a large one each small product by itself would be lost
    T* out;
    Index out_step;  // from filter to filter, or from voxel to voxel
    Index tail;      // outputs in the last vector
    bool stream;
    Index tiles, next;  // of voxels: how many one after the other, and elements of `source` from one to the next
    PointwiseAhead<T> ahead;
};

// What sums start from. Those that are to be added to a bias start from -0, which changes no value it is added to.
template <class T>
inline T beginning(const PointwiseTile<T>& a) {
    return a.bias ? T(-0.0) : T(0);
}

template <class T>
inline void put(T* to, typename Simd<T>::Vector value, Index count, bool past) {
    if (count < Simd<T>::lanes)
        store_some(to, value, count);
    else if (past)
        stream(to, value);
    else
        store(to, value);
}

// Adds one channel to the sums of F filters x X vectors of voxels.
template <class T, int F, int X>
inline void add_channel(typename Simd<T>::Vector (&sum)[F][X], const T* from, const T* weights) {
    typename Simd<T>::Vector value[X];
    CONV3D_UNROLL
    for (int x = 0; x < X; ++x) {
        value[x] = load(from + x * Simd<T>::lanes);
        hold(value[x]);
    }
    CONV3D_UNROLL
    for (int f = 0; f < F; ++f)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[f][x] += value[x] * weights[f];
}

// F filters x X vectors of voxels; weights [channel][F].
template <class T, int F, int X>
void voxels_tile(const PointwiseTile<T>& a) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    constexpr int several = 4;  // channels: where another program shares the core, each instruction counts
    const V start = spread(beginning(a));
    const Index channels = a.channels, channel = a.channel, out_step = a.out_step;  // a store may alias what `a` holds
    PointwiseAhead<T> ahead = a.ahead;
    const bool plain = a.tail == lanes && !a.stream;
    T* out = a.out;
    const T* source = a.source;
    for (Index n = a.tiles; n > 0; --n, out += X * lanes, source += a.next) {
        for (Index c = 0; c < ahead.channels; ++c)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x)
                store(ahead.to + (c * X + x) * lanes, load(ahead.from + c * ahead.step + x * lanes));
        ahead.from += X * lanes;
        ahead.to += a.next;
        V sum[F][X];
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[f][x] = start;
        const T* w = a.weights;
        const T* from = source;
        Index c = 0;
        for (; c + several <= channels; c += several, w += several * F, from += several * channel)
            CONV3D_UNROLL
            for (int i = 0; i < several; ++i) add_channel<T, F, X>(sum, from + i * channel, w + i * F);
        for (; c < channels; ++c, w += F, from += channel) add_channel<T, F, X>(sum, from, w);
        if (a.bias) {
            CONV3D_UNROLL
            for (int f = 0; f < F; ++f)
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) sum[f][x] += a.bias[f];
        }
        if (plain) {
            CONV3D_UNROLL
            for (int f = 0; f < F; ++f)
                CONV3D_UNROLL
                for (int x = 0; x < X; ++x) store(out + f * out_step + x * lanes, sum[f][x]);
            continue;
        }
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x)
                put(out + f * out_step + x * lanes, sum[f][x], x == X - 1 ? a.tail : lanes, a.stream);
    }
}

// Y voxels x X vectors of filters; weights [channel][X * lanes].
template <class T, int Y, int X>
void filters_tile(const PointwiseTile<T>& a) {
    using V = typename Simd<T>::Vector;
    constexpr Index lanes = Simd<T>::lanes;
    const V start = spread(beginning(a));
    V sum[Y][X];
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) sum[y][x] = start;
    const T* w = a.weights;
    const T* from = a.source;
    for (Index c = 0; c < a.channels; ++c, w += X * lanes, from += a.channel) {
        V weight[X];
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x) {
            weight[x] = load(w + x * lanes);
            hold(weight[x]);
        }
        CONV3D_UNROLL
        for (int y = 0; y < Y; ++y)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[y][x] += weight[x] * from[y * a.voxel];
    }
    if (a.bias) {
        CONV3D_UNROLL
        for (int y = 0; y < Y; ++y)
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[y][x] += load(a.bias + x * lanes);
    }
    CONV3D_UNROLL
    for (int y = 0; y < Y; ++y)
        CONV3D_UNROLL
        for (int x = 0; x < X; ++x)
            put(a.out + y * a.out_step + x * lanes, sum[y][x], x == X - 1 ? a.tail : lanes, a.stream);
}

template <class T>
using PointwiseTileOf = void (*)(const PointwiseTile<T>&);

// 8 x 3 sums with 32 registers, 6 x 2 with 16, beside the values of a channel and a weight.
constexpr int most_planar_filters = wide_file ? 8 : 6;

// Filters of a part, at most, where one tile does not hold all. With 16 registers 4 x 2 sums are 8 % faster than 6 x 2:
// the lines of fewer filters are written at once.
constexpr int most_of_several = wide_file ? 8 : 4;

inline Index most_of_part(Index filters) {
    return filters > most_planar_filters ? most_of_several : most_planar_filters;
}
constexpr int most_voxels = wide_file ? 8 : 4;

// Vectors of voxels that a tile for so many filters holds: enough sums to hide the latency of each.
constexpr int most_vectors_of(int filters) { return filters > 2 ? (wide_file ? 3 : 2) : wide_file ? 8 : 4; }

static_assert(most_of_several >= 4 && most_planar_filters >= 5, "several parts must have tiles of one width");

inline Index tile_vectors(Index filters, Index left) {
    Index vectors = most_vectors_of(static_cast<int>(filters));
    while (vectors > left) vectors /= 2;
    return vectors == 1 && left == 2 ? 2 : vectors;
}

template <class T, int F, int X>
PointwiseTileOf<T> voxels_tile_of_width(Index vectors) {
    if constexpr (X > 1) {
        constexpr int narrower = X == 3 ? 2 : X / 2;
        if (vectors < X) return voxels_tile_of_width<T, F, narrower>(vectors);
    }
    return voxels_tile<T, F, X>;
}

template <class T, int F>
PointwiseTileOf<T> voxels_tile_of(Index filters, Index vectors) {
    if constexpr (F > 1) {
        if (filters < F) return voxels_tile_of<T, F - 1>(filters, vectors);
    }
    return voxels_tile_of_width<T, F, most_vectors_of(F)>(vectors);
}

template <class T, int Y>
PointwiseTileOf<T> filters_tile_of(Index voxels, Index vectors) {
    if constexpr (Y > 1) {
        if (voxels < Y) return filters_tile_of<T, Y / 2>(voxels, vectors);
    }
    return vectors == 1 ? filters_tile<T, Y, 1> : vectors == 2 ? filters_tile<T, Y, 2> : filters_tile<T, Y, 3>;
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
