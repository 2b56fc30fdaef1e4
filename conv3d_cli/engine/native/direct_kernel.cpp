// One block of a direct convolution. Compiled once for each instruction set, into a namespace of its own.

#include "pack.hpp"
#include "tile.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline bool stopped(const Task& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

// Where a tile writes: straight into the output, or into the block of outputs that is unpacked afterwards.
template <class T>
struct Target {
    T* at;  // filter 0 of the chunk, first output of the block
    Index filter, plane, row;
};

// All tiles of one filter block, for one pass over its taps.
template <class T>
void sweep(const Task& task, const Block& block, Index filters, const Pass& pass, TileArgs<T> args, const T* slab,
           const Target<T>& target, T* out) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index vectors = (block.count[2] + lanes - 1) / lanes;
    const Index parts = (vectors + most_vectors - 1) / most_vectors;
    args.pitch = task.pitch;
    args.out_filter = target.filter;
    args.out_row = target.row;
    for (Index z = 0; z < block.count[0]; ++z)
        for (Index y = 0, rows; y < block.count[1]; y += rows) {
            rows = tile_rows(filters, block.count[1] - y);
            for (Index part = 0; part < parts; ++part) {
                const Index from = part * vectors / parts;
                const Index to = (part + 1) * vectors / parts;
                args.source = slab + z * task.plane + y * task.pitch + from * lanes;
                args.out = out + z * target.plane + y * target.row + from * lanes;
                args.tail = least(lanes, block.count[2] - (to - 1) * lanes);
                find_tile<T>(filters, pass.length, rows, to - from)(args);
            }
        }
}

// All filters of the chunk, over the channels in the slab. `done` is how many channels went before.
template <class T>
void apply_filters(const Task& task, const Block& block, const T* slab, Index group, Index first_filter, Index filters,
                   Index done, Index channels, const Target<T>& target) {
    const Index taps = task.axes[0].taps * task.axes[1].taps * task.axes[2].taps;
    const T* bias = static_cast<const T*>(task.bias);
    for (Index f = 0, width; f < filters && !stopped(task); f += width) {
        width = block_of_filters(filters - f, most_filters);
        const Index filter = group * task.filters + first_filter + f;
        const T* weights =
            static_cast<const T*>(task.weights) + (filter * task.channels + done * width) * taps;
        TileArgs<T> args{};
        args.bias = bias ? bias + filter : nullptr;
        args.add = done > 0;
        for (const Pass& pass : width == 1 ? task.one : task.several) {
            if (pass.columns == 0) continue;
            args.offsets = pass.offsets;
            args.columns = pass.columns * channels;
            args.weights = weights;
            sweep(task, block, width, pass, args, slab, target, target.at + f * target.filter);
            args.add = true;
            weights += args.columns * pass.length * width;
        }
    }
}

// Item number -> batch entry, group, chunk of filters, block: the last varies fastest.
template <class T>
void run(const Task& task, Index item, void* scratch) {
    Block block;
    for (int axis = 2; axis >= 0; --axis) {
        const Axis& a = task.axes[axis];
        block.first[axis] = item % task.blocks[axis] * a.block;
        block.count[axis] = least(a.block, a.outputs - block.first[axis]);
        item /= task.blocks[axis];
    }
    const Index first_filter = item % task.filter_chunks * task.filter_chunk;
    const Index filters = least(task.filter_chunk, task.filters - first_filter);
    item /= task.filter_chunks;
    const Index group = item % task.groups;
    const Index entry = item / task.groups;

    const Index* s = task.out_strides;
    T* out = static_cast<T*>(task.out) + entry * s[0] + (group * task.filters + first_filter) * s[1] +
             block.first[0] * s[2] + block.first[1] * s[3] + block.first[2] * s[4];
    T* slab = static_cast<T*>(scratch);
    T* kept = slab + task.channel_chunk * task.volume + Simd<T>::lanes;
    const Target<T> target = task.out_volume ? Target<T>{kept, task.out_volume, task.out_plane, task.out_pitch}
                                             : Target<T>{out, s[1], s[2], s[3]};
    const T* x = static_cast<const T*>(task.x) + entry * task.x_strides[0];
    for (Index done = 0; done < task.channels && !stopped(task); done += task.channel_chunk) {
        const Index channels = least(task.channel_chunk, task.channels - done);
        pack_slab(task, block, x + (group * task.channels + done) * task.x_strides[1], channels, slab);
        apply_filters(task, block, slab, group, first_filter, filters, done, channels, target);
    }
    if (task.out_volume) unpack_block(task, block, kept, filters, out);
}

}  // namespace

extern const Unit unit;
const Unit unit = {CONV3D_ISA_NAME, CONV3D_VECTOR_BYTES, most_filters, most_rows, longest_column, run<float>,
                   run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
