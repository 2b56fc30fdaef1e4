// The stages of a convolution through tiles of Fourier transforms. Compiled once for each instruction set.
//
// Planes of the tiles are packed and transformed along W and H, one after the other. Then, column by column of
// frequencies along D: transform along D, product with the kernels' spectra, transform back along D; a column of all
// channels stays in cache meanwhile, and its place is taken by the filters' columns. Last, planes are transformed back
// along H and W and stored. Only what is kept is transformed back.

#include "fft_pack.hpp"
#include "fft_product.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline bool stopped(const FftTask& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

using Rows = void (*)(const float*, float*, Index);
using Lines = void (*)(From, To, Index, Index);

struct RowLength {
    Index length;
    Rows forward, backward;
};
constexpr RowLength row_lengths[] = {
    {8, transform_rows<8>, restore_rows<8>},    {10, transform_rows<10>, restore_rows<10>},
    {12, transform_rows<12>, restore_rows<12>}, {16, transform_rows<16>, restore_rows<16>},
    {20, transform_rows<20>, restore_rows<20>}, {24, transform_rows<24>, restore_rows<24>},
    {32, transform_rows<32>, restore_rows<32>},
};

struct LineLength {
    Index length;
    Lines forward, backward;
};
constexpr LineLength line_lengths[] = {
    {1, transform_lines<1, false>, transform_lines<1, true>},
    {8, transform_lines<8, false>, transform_lines<8, true>},
    {10, transform_lines<10, false>, transform_lines<10, true>},
    {12, transform_lines<12, false>, transform_lines<12, true>},
    {16, transform_lines<16, false>, transform_lines<16, true>},
    {20, transform_lines<20, false>, transform_lines<20, true>},
    {24, transform_lines<24, false>, transform_lines<24, true>},
    {32, transform_lines<32, false>, transform_lines<32, true>},
};

template <class Table>
const auto* find(const Table& table, Index length) {
    for (const auto& row : table)
        if (row.length == length) return &row;
    return static_cast<decltype(&table[0])>(nullptr);
}

bool known(Index length, bool real) { return real ? !!find(row_lengths, length) : !!find(line_lengths, length); }

// What a thread works in. `columns` holds, for each frequency along H and W, the lines along D of all channels, later
// of all filters.
struct Scratch {
    float *columns, *voxels, *plane, *x, *y;
    Index voxels_pitch;  // floats of one channel's plane of voxels
    Index size;
};

Scratch divide(const FftTask& task, float* at) {
    const Index together = across(task.x_strides, task.channels) || across(task.out_strides, task.filters) ? lanes : 1;
    Scratch s{};
    s.voxels_pitch = task.tile[1] * task.tile[2] * lanes;
    Index used = 0;
    const auto take = [&](Index count) {
        float* from = at + used;
        used += count;
        return from;
    };
    s.columns = take(task.columns * task.pitch);
    s.voxels = take(together * s.voxels_pitch);
    s.plane = take(task.columns * pair);
    s.x = take(task.tile[0] * task.channels * pair);
    s.y = take(task.tile[0] * task.filters * pair);
    s.size = used;
    return s;
}

Index scratch_size(const FftTask& task) { return divide(task, nullptr).size; }

// The filters of block after block; k is [filter block][channel][2][filter].
void put_filters(const FftTask& task, Complex value, Index channel, Index first, Index count, float* k) {
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
void prepare(const FftTask& task, Index item, float* memory) {
    const Index parts = (task.filters + lanes - 1) / lanes;
    const Index first = item % parts * lanes, channel = item / parts % task.channels;
    const Index group = item / parts / task.channels;
    const Index count = smaller(lanes, task.filters - first);
    const Scratch s = divide(task, memory);
    const Index* t = task.tile;
    const Index* steps = task.kernel_strides;
    const float* kernel = task.kernel + channel * steps[3] + (group * task.filters + first) * steps[4];
    const Index depth = t[0] * pair;

    for (Index z = 0; z < t[0]; ++z) {
        __builtin_memset(s.voxels, 0, static_cast<std::size_t>(s.voxels_pitch) * sizeof(float));
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
        find(line_lengths, t[0])->forward({s.columns + column * depth, pair, 0}, {s.x, pair, 0}, 1, t[0]);
        for (Index z = 0; z < t[0]; ++z)
            put_filters(task, conjugate(fetch<false>(s.x + z * pair)), channel, first, count,
                        spectra + 2 * (column * t[0] + z) * task.channels * task.filters);
    }
}

void transform_planes(const FftTask& task, const Places& places, const Scratch& s) {
    const Index* t = task.tile;
    const Rows along_w = find(row_lengths, t[2])->forward;
    const Lines along_h = find(line_lengths, t[1])->forward;
    const Index most = across(task.x_strides, task.channels) ? lanes : 1;
    for (Index z = 0; z < t[0] && !stopped(task); ++z)
        for (Index c = 0; c < task.channels; c += most) {
            const Index channels = smaller(most, task.channels - c);
            pack_plane(task, places, z, c, channels, s.voxels, s.voxels_pitch);
            for (Index i = 0; i < channels; ++i) {
                along_w(s.voxels + i * s.voxels_pitch, s.plane, t[1]);
                along_h({s.plane, task.frequencies * pair, pair},
                        {s.columns + ((c + i) * t[0] + z) * pair, task.frequencies * task.pitch, task.pitch},
                        task.frequencies, t[1]);
            }
        }
}

void multiply_columns(const FftTask& task, const float* spectra, const Scratch& s) {
    const Index depth = task.tile[0], kept = task.kept[0];
    const Lines forward = find(line_lengths, depth)->forward, backward = find(line_lengths, depth)->backward;
    const Index xs = task.channels * pair, ys = task.filters * pair;
    for (Index column = 0; column < task.columns && !stopped(task); ++column) {
        float* lines = s.columns + column * task.pitch;
        forward({lines, pair, depth * pair}, {s.x, xs, pair}, task.channels, depth);
        for (Index z = 0; z < depth; ++z, spectra += 2 * task.channels * task.filters)
            multiply(s.x + z * xs, spectra, task.channels, task.filters, s.y + z * ys);
        backward({s.y, ys, pair}, {lines, pair, kept * pair}, task.filters, kept);
    }
}

void restore_planes(const FftTask& task, const Places& places, const Scratch& s, const float* bias) {
    const Index* t = task.tile;
    // Both transforms along W gave twice the spectrum, and no transform back is divided by its length.
    const float scale = 1.0f / static_cast<float>(4 * t[0] * t[1] * t[2]);
    const Rows along_w = find(row_lengths, t[2])->backward;
    const Lines along_h = find(line_lengths, t[1])->backward;
    const Index most = across(task.out_strides, task.filters) ? lanes : 1;
    for (Index z = 0; z < task.kept[0] && !stopped(task); ++z)
        for (Index f = 0; f < task.filters; f += most) {
            const Index filters = smaller(most, task.filters - f);
            for (Index i = 0; i < filters; ++i) {
                along_h({s.columns + ((f + i) * task.kept[0] + z) * pair, task.frequencies * task.pitch, task.pitch},
                        {s.plane, task.frequencies * pair, pair}, task.frequencies, task.kept[1]);
                along_w(s.plane, s.voxels + i * s.voxels_pitch, task.kept[1]);
            }
            for (Index y = 0; y < task.kept[1]; ++y) {
                const float* row = s.voxels + y * t[2] * lanes;
                if (most > 1)
                    unpack_row_across(task, places, row, s.voxels_pitch, z, y, f, filters, scale,
                                      bias ? bias + f : nullptr);
                else
                    unpack_row(task, places, row, z, y, f, scale, bias ? bias[f] : 0.0f);
            }
        }
}

// An item is a group and `lanes` tiles.
void run(const FftTask& task, Index item, float* memory) {
    const Index tiles = task.batch * task.tiles[0] * task.tiles[1] * task.tiles[2];
    const Index group = item / ((tiles + lanes - 1) / lanes);
    const Scratch s = divide(task, memory);
    const Places places = find_places(task, item);
    transform_planes(task, places, s);
    multiply_columns(task, task.spectra + 2 * group * task.columns * task.tile[0] * task.channels * task.filters, s);
    restore_planes(task, places, s, task.bias ? task.bias + group * task.filters : nullptr);
}

}  // namespace

extern const FftUnit fft_unit;
const FftUnit fft_unit = {lanes, known, scratch_size, prepare, run};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
