// One block of a direct convolution. Compiled once for each instruction set, into a namespace of its own.

#include "direct_rare.hpp"
#include "direct_rows.hpp"
#include "direct_toom.hpp"
#include "tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
extern const Unit unit;

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
void tiles_of_rows(TileArgs<T>& args, Index filters, const Pass& pass, Index rows, Index vectors) {
    const Index longest = vectors_of(filters, rows);
    const Index count = (vectors + longest - 1) / longest;
    const Index width = (vectors + count - 1) / count;
    const Index short_ones = count * width - vectors;
    args.tiles = count - short_ones;
    find_tile<T>(filters, pass, rows, width)(args);
    if (short_ones == 0) return;
    args.source += args.tiles * width * Simd<T>::lanes;
    args.out += args.tiles * width * Simd<T>::lanes;
    args.tiles = short_ones;
    find_tile<T>(filters, pass, rows, width - 1)(args);
}

// The same. Where tiles lie either way, each row is filled with long ones, and what is left of all rows is tiles too.
template <class T>
void tiles(TileArgs<T>& args, Index filters, const Pass& pass, Index rows, Index vectors) {
    const Index filled = rows > 1 && lies_either_way(filters) ? vectors / most_vectors : 0;
    if (filled > 0) {
        const T* const source = args.source;
        T* const out = args.out;
        const Tile<T> one_row = find_tile<T>(filters, pass, 1, most_vectors);
        args.tiles = filled;
        for (Index y = 0; y < rows; ++y, args.source += args.pitch, args.out += args.out_row) one_row(args);
        vectors -= filled * most_vectors;
        if (vectors == 0) return;
        args.source = source + filled * most_vectors * Simd<T>::lanes;
        args.out = out + filled * most_vectors * Simd<T>::lanes;
    }
    tiles_of_rows(args, filters, pass, rows, vectors);
}

// All passes over the taps of a block of filters, for some rows of outputs. The first adds to what `out` holds if
// `args.add` says so.
template <class T>
void sum_rows(TileArgs<T> args, Index filters, const Taps& taps, const T* source, T* out, Index rows, Index vectors) {
    for (const Pass* pass = taps.passes; pass < taps.passes + taps.count; ++pass) {
        args.source = source;
        args.out = out;
        args.offsets = pass->offsets;
        args.columns = pass->columns;
        args.weights = static_cast<const T*>(pass->weights);
        tiles(args, filters, *pass, rows, vectors);
        args.add = true;
    }
}

// All rows of a block, for a block of filters over the channels in the slab. `out` is the first output of the filters.
template <class T>
void sweep(const Task& task, const Block& block, Index filters, const Taps& taps, TileArgs<T> args, const T* slab,
           const Target<T>& target, T* out) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index vectors = (block.count[2] + lanes - 1) / lanes;
    args.pitch = task.pitch;
    for (Index z = 0; z < block.count[0]; ++z)
        for (Index y = 0, rows; y < block.count[1]; y += rows) {
            rows = tile_rows(filters, block.count[1] - y, vectors);
            T* const to = out + z * target.plane + y * target.row;
            if (target.buffer && args.add) read_rows(target, to, filters, rows, block.count[2]);
            args.out_filter = target.buffer ? rows * target.line : target.filter;
            args.out_row = target.buffer ? target.line : target.row;
            T* const sums = target.buffer ? target.buffer : to;
            sum_rows(args, filters, taps, slab + z * task.plane + y * task.pitch, sums, rows, vectors);
            if (target.buffer) write_rows(target, to, filters, rows, block.count[2]);
        }
}

// Calls `apply(first filter, filters, number of their taps)` for each block of filters of an item; the filter counts from
// the chunk's first.
template <class Apply>
void each_block(const Task& task, const Item& item, Index chunk, Apply apply) {
    Index block = item.group * task.filter_blocks + blocks_of_filters(item.first_filter, most_filters);
    for (Index f = 0, width; f < item.filters && !stopped(task); f += width, ++block) {
        width = block_of_filters(item.filters - f, most_filters);
        apply(f, width, block * task.channel_chunks + chunk);
    }
}

// All filters of the item, by the taps that `all` has for them, over the channels in the slab.
template <class T>
void apply_filters(const Task& task, const Item& item, const Taps* all, const T* slab, Index chunk, bool add,
                   const Target<T>& target) {
    const T* bias = static_cast<const T*>(task.bias);
    each_block(task, item, chunk, [&](Index f, Index width, Index number) {
        TileArgs<T> args{};
        args.bias = bias ? bias + item.group * task.filters + item.first_filter + f : nullptr;
        args.add = add;
        const Taps& taps = all[number];
        if (taps.count) sweep(task, item.block, width, taps, args, slab, target, target.at + f * target.filter);
    });
}

// What the taps that are applied may have missed or lost: see direct_rare.hpp.
template <class T>
void look_after(const Task& task, const Item& item, T* slab, Index chunk, Index channels, const Target<T>& target) {
    const Seen seen = look(task, item.block, slab, channels);
    if (task.folded && seen.huge)
        each_block(task, item, chunk, [&](Index f, Index width, Index number) {
            const Index filter = item.group * task.filters + item.first_filter + f;
            repair(task, item.block, task.taps[number], width, filter, slab, target, target.at + f * target.filter);
        });
    if (!task.left_out || !seen.not_finite) return;
    mark(slab, channels * task.volume + Simd<T>::lanes);
    apply_filters(task, item, task.left_out, slab, chunk, true, target);
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
void run_direct(const Task& task, const Item& item, T* slab, const Target<T>& target) {
    const T* const x = input_of<T>(task, item);
    for (Index chunk = 0; chunk < task.channel_chunks && !stopped(task); ++chunk) {
        const Index done = chunk * task.channel_chunk;
        const Index channels = least(task.channel_chunk, task.channels - done);
        pack_slab(task, item.block, x + done * task.x_strides[1], channels, slab);
        apply_filters(task, item, task.taps, slab, chunk, chunk > 0, target);
        if (task.left_out || task.folded) look_after(task, item, slab, chunk, channels, target);
    }
}

// With a transform along D: the rows of tiles of outputs, point by point into `sums`, and from there to the output.
template <class T>
void run_toom(const Task& task, const Item& item, T* slab, const Target<T>& target, T* values, T* sums) {
    const Index vectors = (item.block.count[2] + Simd<T>::lanes - 1) / Simd<T>::lanes;
    const Index line = whole_vectors(task, Simd<T>::lanes), point = point_pitch<T>(task);
    const Index blocks = task.groups * task.filter_blocks;
    const T* const bias = static_cast<const T*>(task.bias);
    pack_slab(task, item.block, input_of<T>(task, item), task.channels, slab);
    end_planes(task, item.block, slab);
    for (Index z = 0; z < item.block.count[0]; z += task.toom.step) {
        transform_planes(task, slab + z * task.plane, values);
        each_block(task, item, 0, [&](Index f, Index width, Index number) {
            for (Index y = 0, rows; y < item.block.count[1]; y += rows) {
                rows = tile_rows(width, item.block.count[1] - y, vectors);
                TileArgs<T> args{};
                args.pitch = task.pitch;
                args.out_filter = rows * line;
                args.out_row = line;
                const Index pitch = width * rows * line + Simd<T>::lanes;
                for (Index p = 0; p < task.toom.points; ++p)
                    sum_rows(args, width, task.taps[p * blocks + number], values + p * point + y * task.pitch,
                             sums + p * pitch, rows, vectors);
                restore_rows(task, item.block, {z, y, width, rows}, sums, pitch, sums + task.toom.points * pitch,
                             bias ? bias + item.group * task.filters + item.first_filter + f : nullptr, target,
                             target.at + f * target.filter);
            }
        });
    }
}

template <class T>
void run(const Task& task, Index number, void* scratch) {
    const Item item = item_of(task, number);
    constexpr Index lanes = Simd<T>::lanes;
    T* const slab = static_cast<T*>(scratch);
    T* const values = slab + task.channel_chunk * task.volume + lanes;
    T* const sums = values + toom_values(task, lanes);
    T* const kept = sums + toom_sums(task, lanes, rows_of_all_filters(unit));
    const Target<T> target = target_of(task, item, kept);
    if (task.toom.points > 1)
        run_toom(task, item, slab, target, values, sums);
    else
        run_direct(task, item, slab, target);
    if (task.out_volume) unpack_block(task, item.block, kept, item.filters, output_of<T>(task, item));
    if (task.stream) stream_end();
}

}  // namespace

const Unit unit = {CONV3D_ISA_NAME,
                   CONV3D_VECTOR_BYTES,
                   most_filters,
                   {rows_of_block(1), rows_of_block(2), rows_of_block(4), rows_of_block(8)},
                   longest_column,
                   run<float>,
                   run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
