// The spectra of kernels, in the order in which the product reads them.
#pragma once

#include "fft_lengths.hpp"
#include "fft_pack.hpp"
#include "fft_product.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// What a thread works in: a plane of voxels, its spectrum, and all of a tile, transformed along H and W, then a line.
struct PrepareScratch {
    float *voxels, *plane, *columns, *line;
    Index size;
};

inline PrepareScratch divide(const FftKernels& task, float* at) {
    const Index depth = task.tile[0] * pair, voxels = task.tile[1] * task.tile[2] * lanes;
    float* const plane = at + voxels;
    float* const columns = plane + task.columns * pair;
    float* const line = columns + task.columns * depth;
    return {at, plane, columns, line, voxels + task.columns * (pair + depth) + depth};
}

inline Index prepare_scratch(const FftKernels& task) { return divide(task, nullptr).size; }

// The filters of block after block; k is [filter block][channel][2][filter].
inline void put_filters(const FftKernels& task, Complex value, Index channel, Index first, Index count, float* k) {
    alignas(CONV3D_VECTOR_BYTES) float values[pair];
    put<false>(values, value);
    for (Index done = 0, width; done < count; done += width) {
        width = block_of_filters(task.filters - first - done, block_filters);
        float* to = k + 2 * ((first + done) * task.channels + channel * width);
        copy_few(to, values + done, width);
        copy_few(to + width, values + lanes + done, width);
    }
}

// An item is a group, one of its channels, and `lanes` of its filters.
inline void prepare(const FftKernels& task, Index item, float* memory) {
    const Index parts = (task.filters + lanes - 1) / lanes;
    const Index first = item % parts * lanes, channel = item / parts % task.channels;
    const Index group = item / parts / task.channels;
    const Index count = smaller(lanes, task.filters - first);
    const PrepareScratch s = divide(task, memory);
    const Index* t = task.tile;
    const Index* steps = task.strides;
    const float* kernel = task.kernel + channel * steps[3] + (group * task.filters + first) * steps[4];
    const Index depth = t[0] * pair;

    for (Index z = 0; z < t[0]; ++z) {
        __builtin_memset(s.voxels, 0, static_cast<std::size_t>(t[1] * t[2] * lanes) * sizeof(float));
        if (z < task.taps[0])
            for (Index y = 0; y < task.taps[1]; ++y)
                for (Index x = 0; x < task.taps[2]; ++x)
                    store(s.voxels + (y * t[2] + x) * lanes,
                          load_between(kernel + z * steps[0] + y * steps[1] + x * steps[2], steps[4], 0, count));
        find(row_lengths, t[2])->forward(s.voxels, s.plane, t[1]);
        find(line_lengths, t[1])
            ->forward({s.plane, task.frequencies * pair, pair},
                      {s.columns + z * pair, task.frequencies * depth, depth}, task.frequencies, t[1]);
    }
    float* spectra = task.spectra + 2 * group * task.columns * t[0] * task.channels * task.filters;
    for (Index column = 0; column < task.columns; ++column) {
        find(line_lengths, t[0])->forward({s.columns + column * depth, pair, 0}, {s.line, pair, 0}, 1, t[0]);
        for (Index z = 0; z < t[0]; ++z)
            put_filters(task, conjugate(fetch<false>(s.line + z * pair)), channel, first, count,
                        spectra + 2 * (column * t[0] + z) * task.channels * task.filters);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
