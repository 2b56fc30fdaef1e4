// The sweeps of a convolution through long tiles of Fourier transforms. Compiled once for each instruction set.

#include "fft_long_rows.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

constexpr Index ahead = 2;  // columns

// What a thread works in.
struct Scratch {
    float* plane;    // rows of frequencies
    float* line;     // of any axis
    float* between;  // where the passes of a transform meet
    float* x;        // lines along D, of all channels
    float* y;        // one of a filter
    float* voxels;   // rows of a kernel, spread
    Index size;
};

Scratch divide(const FftLongTask& task, float* at) {
    const Index longest = larger(larger(task.tile[0], task.tile[1]), task.lines[2].length) * pair;
    Scratch s{};
    const auto take = [&](Index count) {
        float* from = at + s.size;
        s.size += count;
        return from;
    };
    s.plane = take(task.blocks * task.own_pitch);
    s.line = take(longest + lanes * pair);
    s.between = take(longest);
    s.x = take(task.channels * task.tile[0] * pair);
    s.y = take(task.tile[0] * pair);
    s.voxels = take((task.extent[2] + lanes) * lanes);
    return s;
}

// So many floats are needed soon.
void announce(const float* at, Index count) {
    for (Index i = 0; i < count; i += 16) __builtin_prefetch(at + i);
}

Index scratch_size(const FftLongTask& task) { return divide(task, nullptr).size; }

bool known(Index radix) { return find_passes(radix) != nullptr; }

// Rows low to high of a plane, transformed along W by now, to all rows of `to` along H.
void forward_columns(const FftLongTask& task, const Scratch& s, Index low, Index high, float* to) {
    const LongLine along(task.lines[1], s.between);
    for (Index block = 0; block < task.blocks; ++block, to += task.pitch) {
        announce(to, task.pitch);
        along.forward({s.plane + block * task.own_pitch, pair, low, high}, {to, pair, task.tile[1]});
    }
}

void clear(float* at, Index count) { __builtin_memset(at, 0, static_cast<std::size_t>(count) * sizeof(float)); }

void kernel_plane(const FftLongTask& task, Index item, float* memory) {
    const Scratch s = divide(task, memory);
    const Index z = item % task.extent[0], pitch = task.extent[2];
    float* to = task.kernel_planes + item * task.plane;
    if (z % task.dilation[0] != 0) return clear(to, task.plane);
    const Index* taps = task.taps;
    const float* from = task.kernel + (item / task.extent[0] * taps[0] + z / task.dilation[0]) * taps[1] * taps[2];
    const LongLine along(task.lines[2], s.between);
    clear(s.voxels, lanes * pitch);
    for (Index y = 0; y < task.extent[1]; y += lanes) {
        VoxelRows rows{{}, 1, 0, pitch, {nullptr, pitch, 0, 0}, 0, 0.0f};
        for (Index i = 0; i < smaller(lanes, task.extent[1] - y); ++i) {
            if ((y + i) % task.dilation[1] != 0) continue;
            const float* row = from + (y + i) / task.dilation[1] * taps[2];
            for (Index x = 0; x < taps[2]; ++x) s.voxels[i * pitch + x * task.dilation[2]] = row[x];
            rows.at[i] = s.voxels + i * pitch;
        }
        forward_rows(task, along, rows, s.line, s.plane + y * pair);
    }
    forward_columns(task, s, 0, task.extent[1], to);
}

void kernel_columns(const FftLongTask& task, Index group, Index item, float* memory) {
    const Scratch s = divide(task, memory);
    const Index depth = task.tile[0], first = item * task.together;
    const Index pairs = task.filters * task.channels, volume = task.extent[0] * task.plane;
    const float* from = task.kernel_planes + group * pairs * volume;
    float* to = task.spectra + (group * task.columns + first) * pairs * depth * pair;
    const LongLine along(task.lines[0], s.between);
    for (Index column = first; column < smaller(first + task.together, task.columns); ++column)
        for (Index i = 0; i < pairs; ++i, to += depth * pair) {
            along.forward({from + i * volume + column * pair, task.plane, 0, task.extent[0]}, {to, pair, depth});
            for (Index z = 0; z < depth; ++z) put<false>(to + z * pair, conjugate(fetch<false>(to + z * pair)));
        }
}

void forward_plane(const FftLongTask& task, const FftPlace& place, Index channel, Index z, float* memory) {
    if (z < place.low[0] || z >= place.high[0]) return;
    const Scratch s = divide(task, memory);
    const Index* steps = task.x_strides;
    const Edge* edges = task.boundary.axes;
    const float fill = static_cast<float>(task.boundary.fill);
    const Index depth = source(edges[0], place.first[0] + z);
    const float* x = place.x + channel * steps[1] + (depth - place.first[0]) * steps[2];
    const LongLine along(task.lines[2], s.between);
    for (Index y = place.low[1]; y < place.high[1]; y += lanes) {
        VoxelRows rows{{}, steps[4], place.low[2], place.high[2], edges[2], place.first[2], fill};
        const Index count = smaller(lanes, place.high[1] - y);
        for (Index i = 0; i < count; ++i) {
            const Index row = source(edges[1], place.first[1] + y + i);
            if (depth != outside && row != outside) rows.at[i] = x + (row - place.first[1]) * steps[3];
        }
        forward_rows(task, along, rows, s.line, s.plane + y * pair);
    }
    forward_columns(task, s, place.low[1], place.high[1], task.buffer + channel * task.volume + z * task.plane);
}

// y = sum over channels of x * k, for one filter.
void multiply(const float* x, const float* k, Index channels, Index depth, float* y) {
    for (Index z = 0; z < depth; ++z, x += pair, k += pair, y += pair) {
        Complex sum{};
        for (Index c = 0; c < channels; ++c) {
            const Complex a = fetch<false>(x + c * depth * pair), b = fetch<false>(k + c * depth * pair);
            sum.re += a.re * b.re - a.im * b.im;
            sum.im += a.re * b.im + a.im * b.re;
        }
        put<false>(y, sum);
    }
}

void columns(const FftLongTask& task, const FftPlace& place, Index first_filter, Index item, float* memory) {
    const Scratch s = divide(task, memory);
    const Index depth = task.tile[0], filters = smaller(task.chunk, task.filters - first_filter);
    const Index wanted = (place.count[0] - 1) * task.stride[0] + 1, line = task.channels * depth * pair;
    const Index first = item * task.together, end = smaller(first + task.together, task.columns);
    const float* spectra = task.spectra + (place.group * task.columns * task.filters + first_filter) * line;
    const LongLine along(task.lines[0], s.between);
    for (Index column = first; column < end; ++column) {
        float* const at = task.buffer + column * pair;
        for (Index c = 0; c < task.channels; ++c) {
            along.forward({at + c * task.volume, task.plane, place.low[0], place.high[0]},
                          {s.x + c * depth * pair, pair, depth});
            if (column + ahead < task.columns)
                for (Index z = place.low[0]; z < place.high[0]; ++z)
                    announce(at + c * task.volume + z * task.plane + ahead * pair, pair);
        }
        const float* k = spectra + column * task.filters * line;
        for (Index f = 0; f < filters; ++f, k += line) {
            multiply(s.x, k, task.channels, depth, s.y);
            along.backward({s.y, pair, 0, depth},
                           {at + (task.first_filter + f) * task.volume, task.plane, wanted});
        }
    }
}

void backward_plane(const FftLongTask& task, const FftPlace& place, Index filter, Index slot, Index z, float* memory) {
    if (z >= place.count[0]) return;
    const Scratch s = divide(task, memory);
    const Index* steps = task.out_strides;
    const float* from = task.buffer + (task.first_filter + slot) * task.volume + z * task.stride[0] * task.plane;
    const Index wanted = (place.count[1] - 1) * task.stride[1] + 1, apart = task.stride[1] * pair;
    const LongLine along_h(task.lines[1], s.between), along_w(task.lines[2], s.between);
    for (Index block = 0; block < task.blocks; ++block)
        along_h.backward({from + block * task.pitch, pair, 0, task.tile[1]},
                         {s.plane + block * task.own_pitch, pair, wanted});
    float* out = place.out + filter * steps[1] + z * steps[2];
    const float bias = task.bias ? task.bias[place.group * task.filters + filter] : 0.0f;
    for (Index y = 0; y < place.count[1]; y += lanes) {
        OutputRows rows{{}, smaller(lanes, place.count[1] - y), place.count[2], bias};
        for (Index i = 0; i < rows.rows; ++i) rows.at[i] = out + (y + i) * steps[3];
        backward_rows(task, along_w, s.plane + y * apart, apart, s.line, rows);
    }
}

}  // namespace

extern const FftLongUnit fft_long_unit;
const FftLongUnit fft_long_unit = {lanes,         known,   scratch_size,  kernel_plane, kernel_columns,
                                   forward_plane, columns, backward_plane};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
