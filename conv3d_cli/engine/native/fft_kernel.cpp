// The stages of a convolution through tiles of Fourier transforms. Compiled once for each instruction set.
//
// Planes of the tiles are packed and transformed along W and H, one after the other. Then, column by column of
// frequencies along D: transform along D, product with the kernels' spectra, transform back along D; a column of all
// channels stays in cache meanwhile, and its place is taken by the filters' columns. Last, planes are transformed back
// along H and W and stored. Only what is kept is transformed back. Where filters are taken in chunks, their columns have
// a place of their own, and the channels' are transformed along D again for each chunk.

#include "fft_pack.hpp"
#include "fft_prepare.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline bool stopped(const FftTask& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

// What a thread works in. `planes` holds the planes along D of all channels, `sums` those of a chunk of filters, which
// take the same place if they are all, each as frequencies along H and W; `voxels` one plane; `x` and `y` a column of
// all channels and of the filters.
struct Scratch {
    float *planes, *sums, *voxels, *x, *y;
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
    const Index of_x = task.channels * task.tile[0] * task.pitch, of_y = task.filter_chunk * task.kept[0] * task.pitch;
    const bool whole = task.filter_chunk == task.filters;
    s.planes = take(whole ? larger(of_x, of_y) : of_x);
    s.sums = whole ? s.planes : take(of_y);
    s.voxels = take(together * s.voxels_pitch);
    s.x = take(task.tile[0] * task.channels * pair);
    s.y = take(task.tile[0] * task.filter_chunk * pair);
    s.size = used;
    return s;
}

Index scratch_size(const FftTask& task) { return divide(task, nullptr).size; }

void transform_planes(const FftTask& task, const Places& places, const Scratch& s) {
    const Index* t = task.tile;
    const auto along_w = find(row_lengths, t[2])->forward;
    const auto along_h = find(line_lengths, t[1])->forward;
    const Index most = across(task.x_strides, task.channels) ? lanes : 1, row = task.frequencies * pair;
    for (Index z = 0; z < t[0] && !stopped(task); ++z)
        for (Index c = 0; c < task.channels; c += most) {
            const Index channels = smaller(most, task.channels - c);
            pack_plane(task, places, z, c, channels, s.voxels, s.voxels_pitch);
            for (Index i = 0; i < channels; ++i) {
                float* plane = s.planes + ((c + i) * t[0] + z) * task.pitch;
                along_w(s.voxels + i * s.voxels_pitch, plane, t[1]);
                along_h({plane, row, pair}, {plane, row, pair}, task.frequencies, t[1]);
            }
        }
}

// Filters `first` to `first + count`; the spectra of the kernels are those of all filters.
void multiply_columns(const FftTask& task, const float* spectra, const Scratch& s, Index first, Index count) {
    const Index depth = task.tile[0], kept = task.kept[0];
    const auto forward = find(line_lengths, depth)->forward;
    const Index xs = task.channels * pair, ys = count * pair;
    spectra += 2 * first * task.channels;
    for (Index column = 0; column < task.columns && !stopped(task); ++column) {
        forward({s.planes + column * pair, task.pitch, depth * task.pitch}, {s.x, xs, pair}, task.channels, depth);
        for (Index z = 0; z < depth; ++z, spectra += 2 * task.channels * task.filters)
            multiply(s.x + z * xs, spectra, task.channels, count, s.y + z * ys);
        restore_lines(task.restored[0], task.folds[0], {s.y, ys, pair},
                      {s.sums + column * pair, task.pitch, kept * task.pitch}, count, kept);
    }
}

void restore_planes(const FftTask& task, const Places& places, const Scratch& s, const float* bias, Index first,
                    Index count) {
    const Index* t = task.tile;
    // Both transforms along W gave twice the spectrum, and no transform back is divided by its length.
    const float scale = 1.0f / static_cast<float>(4 * t[0] * t[1] * t[2]);
    const Index most = across(task.out_strides, task.filters) ? lanes : 1, width = task.frequencies * pair;
    for (Index z = 0; z < task.kept[0] && !stopped(task); ++z)
        for (Index f = 0; f < count; f += most) {
            const Index filters = smaller(most, count - f);
            for (Index i = 0; i < filters; ++i) {
                float* plane = s.sums + ((f + i) * task.kept[0] + z) * task.pitch;
                restore_lines(task.restored[1], task.folds[1], {plane, width, pair}, {plane, width, pair},
                              task.frequencies, task.kept[1]);
                restore_rows(task.restored[2], task.folds[2], plane, s.voxels + i * s.voxels_pitch, task.kept[1]);
            }
            for (Index y = 0; y < task.kept[1]; ++y) {
                const float* row = s.voxels + y * task.restored[2] * lanes;
                if (most > 1)
                    unpack_row_across(task, places, row, s.voxels_pitch, z, y, first + f, filters, scale,
                                      bias ? bias + first + f : nullptr);
                else
                    unpack_row(task, places, row, z, y, first + f, scale, bias ? bias[first + f] : 0.0f);
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
    const float* spectra = task.spectra + 2 * group * task.columns * task.tile[0] * task.channels * task.filters;
    const float* bias = task.bias ? task.bias + group * task.filters : nullptr;
    for (Index first = 0; first < task.filters; first += task.filter_chunk) {
        const Index count = smaller(task.filter_chunk, task.filters - first);
        multiply_columns(task, spectra, s, first, count);
        restore_planes(task, places, s, bias, first, count);
    }
}

}  // namespace

extern const FftUnit fft_unit;
const FftUnit fft_unit = {lanes, known, prepare_scratch, prepare, scratch_size, run};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
