// One block of a direct convolution. Compiled once for each instruction set, into a namespace of its own.

#include "direct_rows.hpp"
#include "tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline bool stopped(const Task& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

// What an item is: the last varies fastest.
struct Item {
    Index entry, group, first_filter, filters;
    Block block;
};

inline Item item_of(const Task& task, Index number) {
    Item item;
    for (int axis = 2; axis >= 0; --axis) {
        const Axis& a = task.axes[axis];
        item.block.first[axis] = number % task.blocks[axis] * a.block;
        item.block.count[axis] = least(a.block, a.outputs - item.block.first[axis]);
        number /= task.blocks[axis];
    }
    item.first_filter = number % task.filter_chunks * task.filter_chunk;
    item.filters = least(task.filter_chunk, task.filters - item.first_filter);
    number /= task.filter_chunks;
    item.group = number % task.groups;
    item.entry = number / task.groups;
    return item;
}

// Some rows of a block, for one pass over the taps of a block of filters: as few tiles as there can be, of two widths.
template <class T>
void tiles(TileArgs<T>& args, Index filters, Index length, Index rows, Index vectors) {
    const Index longest = vectors_of(filters, rows);
    const Index count = (vectors + longest - 1) / longest;
    const Index width = (vectors + count - 1) / count;
    const Index short_ones = count * width - vectors;
    args.tiles = count - short_ones;
    find_tile<T>(filters, length, rows, width)(args);
    if (short_ones == 0) return;
    args.source += args.tiles * width * Simd<T>::lanes;
    args.out += args.tiles * width * Simd<T>::lanes;
    args.tiles = short_ones;
    find_tile<T>(filters, length, rows, width - 1)(args);
}

// All rows of a block, for a block of filters over the channels in the slab. `out` is the first output of the filters.
template <class T>
void sweep(const Task& task, const Block& block, Index filters, TileArgs<T> args, const T* slab, Index channels,
           const Target<T>& target, T* out) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index vectors = (block.count[2] + lanes - 1) / lanes;
    const Pass* const passes = filters == 1 ? task.one : task.several;
    const bool add = args.add;
    const T* const weights = args.weights;
    args.pitch = task.pitch;
    for (Index z = 0; z < block.count[0]; ++z)
        for (Index y = 0, rows; y < block.count[1]; y += rows) {
            rows = tile_rows(filters, block.count[1] - y);
            T* const to = out + z * target.plane + y * target.row;
            if (target.buffer && add) read_rows(target, to, filters, rows, block.count[2]);
            args.out_filter = target.buffer ? rows * target.line : target.filter;
            args.out_row = target.buffer ? target.line : target.row;
            T* const sums = target.buffer ? target.buffer : to;
            args.weights = weights;
            args.add = add;
            for (const Pass* pass = passes; pass < passes + 2 && pass->columns > 0; ++pass) {
                args.source = slab + z * task.plane + y * task.pitch;
                args.out = sums;
                args.offsets = pass->offsets;
                args.columns = pass->columns * channels;
                tiles(args, filters, pass->length, rows, vectors);
                args.add = true;
                args.weights += args.columns * pass->length * filters;
            }
            if (target.buffer) write_rows(target, to, filters, rows, block.count[2]);
        }
}

// All filters of the chunk, over the channels in the slab. `done` is how many channels went before.
template <class T>
void apply_filters(const Task& task, const Item& item, const T* slab, Index done, Index channels,
                   const Target<T>& target) {
    const Index taps = task.axes[0].taps * task.axes[1].taps * task.axes[2].taps;
    const T* bias = static_cast<const T*>(task.bias);
    for (Index f = 0, width; f < item.filters && !stopped(task); f += width) {
        width = block_of_filters(item.filters - f, most_filters);
        const Index filter = item.group * task.filters + item.first_filter + f;
        TileArgs<T> args{};
        args.weights = static_cast<const T*>(task.weights) + (filter * task.channels + done * width) * taps;
        args.bias = bias ? bias + filter : nullptr;
        args.add = done > 0;
        sweep(task, item.block, width, args, slab, channels, target, target.at + f * target.filter);
    }
}

template <class T>
inline const T* input_of(const Task& task, const Item& item) {
    return static_cast<const T*>(task.x) + item.entry * task.x_strides[0] +
           item.group * task.channels * task.x_strides[1];
}

template <class T>
inline T* output_of(const Task& task, const Item& item) {
    const Index* s = task.out_strides;
    const Index* first = item.block.first;
    return static_cast<T*>(task.out) + item.entry * s[0] + (item.group * task.filters + item.first_filter) * s[1] +
           first[0] * s[2] + first[1] * s[3] + first[2] * s[4];
}

template <class T>
Target<T> target_of(const Task& task, const Item& item, T* scratch) {
    constexpr Index lanes = Simd<T>::lanes;
    if (task.out_volume) return {scratch, task.out_volume, task.out_plane, task.out_pitch, nullptr, 0, false};
    const Index* s = task.out_strides;
    const bool whole = item.block.count[2] % lanes == 0 && !task.stream;
    return {output_of<T>(task, item), s[1], s[2], s[3], whole ? nullptr : scratch, whole_vectors(task, lanes),
            task.stream};
}

template <class T>
void run(const Task& task, Index number, void* scratch) {
    const Item item = item_of(task, number);
    T* const slab = static_cast<T*>(scratch);
    T* const kept = slab + task.channel_chunk * task.volume + Simd<T>::lanes;
    const Target<T> target = target_of(task, item, kept);
    const T* const x = input_of<T>(task, item);
    for (Index done = 0; done < task.channels && !stopped(task); done += task.channel_chunk) {
        const Index channels = least(task.channel_chunk, task.channels - done);
        pack_slab(task, item.block, x + done * task.x_strides[1], channels, slab);
        apply_filters(task, item, slab, done, channels, target);
    }
    if (task.out_volume) unpack_block(task, item.block, kept, item.filters, output_of<T>(task, item));
    if (task.stream) stream_end();
}

}  // namespace

extern const Unit unit;
const Unit unit = {CONV3D_ISA_NAME, CONV3D_VECTOR_BYTES, most_filters, most_rows, longest_column, run<float>,
                   run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
