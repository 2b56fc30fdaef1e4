// A pointwise convolution, block of voxels by block. Compiled once for each instruction set.

#include "pointwise.hpp"

#include "pointwise_slab.hpp"
#include "pointwise_tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

constexpr Index ways = 8;    // lines a power of two apart that the first-level cache holds, at least

// Voxels that lie in one row of the merged volume, and what the tiles need to know of the group.
template <class T>
struct Run {
    const T* x;  // first voxel, first channel of the group
    T* out;      // first voxel, first filter of the group
    const T* weights;
    const T* bias;  // or null
    Index voxels;
    bool last;  // of its item
};

// Where the tiles find the voxels of a run: in a slab, or in place.
template <class T>
struct Source {
    const T* first;
    Index channel;  // elements from channel to channel
    Index next;     // from one whole tile's voxels to the next one's
};

// Asks for the first lines of so many channels or filters: what lies behind them the processor fetches by itself, but it
// has to see some lines of a run first, and runs of a block are short.
template <class T>
inline void prefetch_runs(const T* first, Index step, Index count) {
    constexpr Index line = 64 / static_cast<Index>(sizeof(T)), lines = 4;
    for (; count > 0; --count, first += step)
        for (Index i = 0; i < lines; ++i) __builtin_prefetch(first + i * line);
}

// All filters for a run of voxels; `to` takes the filters `step` apart. Each part copies its share of what is ahead.
template <class T>
void by_voxels(const PointwiseTask& task, const Run<T>& run, const Source<T>& source, T* to, Index step,
               PointwiseAhead<T> ahead = {}) {
    constexpr Index lanes = Simd<T>::lanes;
    PointwiseTile<T> tile{};
    tile.channel = source.channel;
    tile.channels = task.channels;
    tile.out_step = step;
    tile.weights = run.weights;
    tile.stream = task.stream;
    const Index most = most_of_part(task.filters);
    for (Index f = 0, filters; f < task.filters; f += filters, tile.weights += filters * task.channels) {
        filters = part_of(task.filters - f, most);
        tile.ahead = ahead;
        const Index parts = (task.filters - f + most - 1) / most;
        tile.ahead.channels = (ahead.channels + parts - 1) / parts;
        tile.bias = run.bias ? run.bias + f : nullptr;
        tile.source = source.first;
        const Index width = most_vectors_of(static_cast<int>(filters)) * lanes;
        Index v = 0;
        tile.tail = lanes;
        tile.next = source.next;
        tile.tiles = run.voxels / width;
        tile.out = to + f * step;
        ahead.from += tile.ahead.channels * ahead.step;
        ahead.to += tile.ahead.channels * width;
        ahead.channels -= tile.ahead.channels;
        if (ahead.from) {  // for the next part; what is read in place and written soon is not worth it
            prefetch_runs(ahead.from, ahead.step, least(tile.ahead.channels, ahead.channels));
            prefetch_runs(to + (f + filters) * step, step, least(filters, task.filters - f - filters));
        }
        voxels_tile_of<T, most_planar_filters>(filters, width / lanes)(tile);
        tile.ahead.channels = 0;
        v += tile.tiles * width;
        tile.source += tile.tiles * source.next;
        tile.tiles = 1;
        for (Index vectors; v < run.voxels; v += vectors * lanes, tile.source += vectors * lanes) {
            vectors = tile_vectors(filters, (run.voxels - v + lanes - 1) / lanes);
            tile.out = to + f * step + v;
            tile.tail = least(run.voxels - v - (vectors - 1) * lanes, lanes);
            voxels_tile_of<T, most_planar_filters>(filters, vectors)(tile);
        }
    }
}

// What a thread has for itself.
template <class T>
struct Scratch {
    T* slab;
    T* other;  // slab, for the next run
    T* row;
    T* kept;
    bool filled;  // `slab` holds the run that comes
};

// In place where each value is used once, or stays in cache until it is used again though its channels lie a power of
// two apart; but for the last part of a vector, beyond which nothing may be read.
template <class T>
void planar(const PointwiseTask& task, Run<T> run, const Run<T>& next, Scratch<T>& own) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index *s = task.x_strides, *o = task.out_strides;
    if (s[4] == 1 && !task.kept && (task.filters <= most_planar_filters || task.channels <= ways)) {
        const Index rest = run.voxels % lanes;
        run.voxels -= rest;
        by_voxels(task, run, {run.x, s[1], task.width}, run.out, o[1]);
        run.x += run.voxels;
        run.out += run.voxels;
        run.voxels = rest;
        if (rest == 0) return;
    }
    if (!own.filled) pack(task, run.x, run.voxels, own.slab, own.row);
    own.filled = s[4] == 1 && next.voxels == run.voxels && run.voxels % task.width == 0;
    const Source<T> source{own.slab, task.width, task.panel};
    by_voxels(task, run, source, task.kept ? own.kept : run.out, task.kept ? task.pitch : o[1],
              {next.x, s[1], own.other, own.filled ? task.channels : 0});
    if (own.filled) {
        T* const slab = own.slab;
        own.slab = own.other;
        own.other = slab;
    }
    for (Index v = 0; task.kept && v < run.voxels; ++v)
        for (Index f = 0; f < task.filters; ++f) run.out[v * o[4] + f * o[1]] = own.kept[f * task.pitch + v];
}

// A few voxels at a time with all their filters, so that input and output each pass once.
template <class T>
void by_filters(const PointwiseTask& task, const Run<T>& run) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index all = (task.filters + lanes - 1) / lanes;
    PointwiseTile<T> tile{};
    tile.channel = task.x_strides[1];
    tile.voxel = task.x_strides[4];
    tile.channels = task.channels;
    tile.out_step = task.out_strides[4];
    for (Index v = 0, voxels; v < run.voxels; v += voxels) {
        for (voxels = most_voxels; voxels > run.voxels - v;) voxels /= 2;
        tile.source = run.x + v * tile.voxel;
        tile.weights = run.weights;
        for (Index f = 0, vectors; f < all; f += vectors, tile.weights += vectors * lanes * task.channels) {
            vectors = part_of(all - f, most_filter_vectors);
            tile.bias = run.bias ? run.bias + f * lanes : nullptr;
            tile.out = run.out + v * tile.out_step + f * lanes;
            tile.tail = least(task.filters - (f + vectors - 1) * lanes, lanes);
            tile.stream = task.stream;
            filters_tile_of<T, most_voxels>(voxels, vectors)(tile);
        }
    }
}

// The runs of a thread, item after item, each of which is a number: batch entry, group, block of voxels, the last of
// which varies fastest.
template <class T>
class Runs {
  public:
    Runs(const PointwiseTask& task, const PointwiseItems& items) : task_(task), items_(items) {}

    // The next one; without voxels where none is left.
    Run<T> next() {
        if (at_ >= end_ && !begin(items_.next(items_.of))) return {};
        const Index lanes = Simd<T>::lanes, width = task_.size[2];
        const Index column = at_ % width, row = at_ / width % task_.size[1], plane = at_ / width / task_.size[1];
        Index voxels = least(least(width - column, end_ - at_), task_.block);
        if (at_ == 0 && task_.skew) voxels = least(voxels, lanes - task_.skew);  // up to the first aligned output
        at_ += voxels;
        const Index *s = task_.x_strides, *o = task_.out_strides;
        return {x_ + plane * s[2] + row * s[3] + column * s[4], out_ + plane * o[2] + row * o[3] + column * o[4],
                weights_, bias_, voxels, at_ >= end_};
    }

  private:
    bool begin(Index item) {
        if (item < 0) return false;
        constexpr Index lanes = Simd<T>::lanes;
        const Index block = item % task_.blocks;
        const Index group = item / task_.blocks % task_.groups;
        const Index entry = item / task_.blocks / task_.groups;
        const Index filters = task_.planar ? task_.filters : (task_.filters + lanes - 1) / lanes * lanes;
        const Index *s = task_.x_strides, *o = task_.out_strides;
        x_ = static_cast<const T*>(task_.x) + entry * s[0] + group * task_.channels * s[1];
        out_ = static_cast<T*>(task_.out) + entry * o[0] + group * task_.filters * o[1];
        weights_ = static_cast<const T*>(task_.weights) + group * task_.channels * filters;
        bias_ = task_.bias ? static_cast<const T*>(task_.bias) + group * filters : nullptr;
        at_ = most(block * task_.span * task_.block - task_.skew, 0);
        end_ = least((block + 1) * task_.span * task_.block - task_.skew, task_.size[0] * task_.size[1] * task_.size[2]);
        return at_ < end_;
    }

    const PointwiseTask& task_;
    const PointwiseItems& items_;
    const T *x_ = nullptr, *weights_ = nullptr, *bias_ = nullptr;
    T* out_ = nullptr;
    Index at_ = 0, end_ = 0;
};

template <class T>
void run(const PointwiseTask& task, const PointwiseItems& items, void* scratch) {
    T* const slab = static_cast<T*>(scratch);
    Scratch<T> own{slab, slab + task.slab, slab + 2 * task.slab, slab + 2 * task.slab + task.pitch, false};
    Runs<T> runs(task, items);
    for (Run<T> now = runs.next(); now.voxels > 0;) {
        if (__atomic_load_n(task.stop, __ATOMIC_RELAXED)) return;
        const Run<T> next = runs.next();
        if (task.planar)
            planar(task, now, next, own);
        else
            by_filters(task, now);
        if (now.last) items.done(items.of);
        now = next;
    }
    if (task.stream) stream_end();
}

}  // namespace

extern const PointwiseUnit pointwise_unit;
const PointwiseUnit pointwise_unit = {most_planar_filters,
                                      most_vectors_of(most_planar_filters),
                                      most_of_part,
                                      [](Index filters) -> Index { return most_vectors_of(static_cast<int>(filters)); },
                                      run<float>,
                                      run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
