// One block of tiles of a convolution by Cook-Toom tiles, in three stages. Compiled once for each instruction set.
//
//   gather    reads the input plane by plane, applies B along W and H, and files the result by point of H x W;
//   multiply  takes one such slot at a time: B along D, the products, A along D, all in the first-level cache. The
//             result, which is smaller, takes the slot's place;
//   scatter   applies A along H and W, adds the bias and writes the output plane by plane.

#include "winograd.hpp"

#include "winograd_product.hpp"
#include "winograd_rows.hpp"
#include "winograd_transform.hpp"
#include "winograd_weights.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline Index up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }
inline Index reach(const WinogradAxis& a) { return (a.points - 1) / a.step * a.dilation; }
inline Index span(const WinogradAxis& a, Index tiles) { return tiles * a.step + (a.points - a.step) * a.dilation; }

// Where the voxels of an axis are kept, one after the other: by the phase of their run, beside the runs of that phase.
struct Place {
    Index phase = 0, at = 0, of_run = 0;

    void advance(const WinogradAxis& a) {
        ++at;
        if (++of_run < a.dilation) return;
        of_run = 0;
        if (++phase < a.step)
            at -= a.dilation;
        else
            phase = 0;
    }
};

// Neither a multiple of a page nor of what makes many rows share one set of the cache.
inline Index uncrowded(Index n, Index lanes, Index item_bytes) { return n * item_bytes % 1024 ? n : n + lanes; }

// One thread's memory, and the block that it works on.
template <class T>
struct Work {
    const WinogradTask& task;
    T *slots, *values, *sums, *packed, *lines, *rows, *row, *apart;
    Index first[3], tiles[3], plane, group, entry;

    Index vectors(Index count) const { return (count + Simd<T>::lanes - 1) / Simd<T>::lanes; }
};

struct Parts {
    Index values, sums, packed, lines, rows, row, apart, end;
};

Parts parts_of(const WinogradTask& t, Index lanes) {
    const WinogradAxis* a = t.axes;
    Parts p;
    p.values = a[1].points * a[2].points * t.slot;
    p.sums = p.values + a[0].points * (t.channels * t.most_tiles + lanes);
    p.packed = p.sums + a[0].points * (t.filters * t.most_tiles + lanes);
    p.lines = p.packed + a[2].residues * a[1].step * t.rows * a[2].step * t.row;
    p.rows = p.lines + a[1].step * a[2].points * t.line;
    p.row = p.rows + a[1].step * a[2].step * t.line;
    p.apart = p.row + a[2].stride * a[2].step * t.row;
    p.end = p.apart + (a[2].stride > 1 ? a[2].stride * a[2].step * t.row : 0);
    return p;
}

void measure(WinogradTask& t, Index item_bytes, Index& scratch) {
    const Index lanes = CONV3D_VECTOR_BYTES / item_bytes;
    const WinogradAxis* a = t.axes;
    t.plane = a[1].tiles * a[2].tiles;
    t.most_tiles = uncrowded(up(a[0].tiles * t.plane, lanes), lanes, item_bytes);
    t.phase = up((a[0].tiles + reach(a[0])) * t.plane + lanes, lanes);
    t.channel = a[0].step * t.phase;
    const Index slot = up(most(t.channels * t.channel, t.filters * a[0].step * t.most_tiles) + lanes, lanes);
    t.slot = uncrowded(slot, lanes, item_bytes);
    t.rows = a[1].tiles + reach(a[1]);
    t.row = up(a[2].tiles + reach(a[2]) + lanes, lanes);
    t.line = uncrowded(up((a[1].tiles + reach(a[1])) * a[2].tiles + lanes, lanes), lanes, item_bytes);
    scratch = parts_of(t, lanes).end;
}

inline bool stopped(const WinogradTask& task) { return __atomic_load_n(task.stop, __ATOMIC_RELAXED); }

// Where the inputs of tile 0 stand, for entries that are kept by phase.
inline void phases(const WinogradAxis& axis, Index phase, Index next, Index* offsets) {
    for (Index i = 0; i < axis.points; ++i)
        offsets[i] = i % axis.step * phase + i / axis.step * axis.dilation * next;
}

// One row of the input from voxel `begin` on, by residue and then by phase; `line` is null outside of the input.
template <class T>
void gather_row(const Work<T>& w, const T* line, Index begin, Index count, T* to, Index residue_pitch) {
    const WinogradTask& t = w.task;
    const WinogradAxis& width = t.axes[2];
    const Index voxels = count * width.stride, pitch = width.step * t.row;
    if (!line) {
        clear(w.row, voxels);
    } else {
        if (t.x_strides[4] == 1) prefetch_row(line + t.x_strides[1] + begin, voxels);  // the next channel's
        fetch_row(line, t.x_strides[4], width.size, begin, voxels, w.row);
    }
    const T* from = w.row;
    if (width.stride > 1) {
        split(width.stride, 1, w.row, w.apart, pitch, count);
        from = w.apart;
    }
    for (Index q = 0; q < width.residues; ++q)
        split(width.step, width.dilation, from + q * pitch, to + q * residue_pitch, t.row, count / width.step);
}

// One plane of one channel, the rows of one residue: B along W row by row, then along H; `to` is its place in the slots.
template <class T>
void gather_plane(const Work<T>& w, const T* plane, Index residue, T* to) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    Index along_w[most_points], along_h[most_points];
    phases(width, t.row, 1, along_w);
    phases(height, width.points * t.line, w.tiles[2], along_h);
    const Index count = (w.tiles[2] + reach(width)) * width.step;
    const Index begin = w.first[2] * width.step * width.stride - width.before;
    const Index rows = span(height, w.tiles[1]), row = width.step * t.row, phase = t.rows * row;
    Place kept;
    for (Index y = 0; y < rows; ++y, kept.advance(height)) {
        const Index at = (w.first[1] * height.step + y) * height.stride + residue - height.before;
        gather_row(w, at < 0 || at >= height.size ? nullptr : plane + at * t.x_strides[3], begin, count,
                   w.packed + kept.phase * phase + kept.at * row, height.step * phase);
    }
    for (Index q = 0; q < width.residues; ++q, to += t.channel) {
        for (Index r = 0; r < height.step; ++r) {
            const Index runs = (rows / height.dilation - r + height.step - 1) / height.step;
            forward(width, w.packed + (q * height.step + r) * phase, along_w, w.lines + r * width.points * t.line, t.line,
                    w.vectors(w.tiles[2]), {runs * height.dilation, row, w.tiles[2]});
        }
        forward(height, w.lines, along_h, to, width.points * t.slot, w.vectors(w.plane),
                {width.points, t.line, t.slot});
    }
}

// The planes of one residue: all channels and their residues along H and W.
template <class T>
void gather_planes(const Work<T>& w, const T* x, Index z, Index residue, Place kept) {
    const WinogradTask& t = w.task;
    const WinogradAxis& depth = t.axes[0];
    const Index at = (w.first[0] * depth.step + z) * depth.stride + residue - depth.before;
    const Index wide = t.axes[2].residues, points = t.axes[1].points * t.axes[2].points;
    for (Index c = 0; c < t.sources; ++c)
        for (Index q = 0; q < t.axes[1].residues; ++q) {
            const Index channel = ((c * depth.residues + residue) * t.axes[1].residues + q) * wide;
            T* to = w.slots + channel * t.channel + kept.phase * t.phase + kept.at * w.plane;
            if (at >= 0 && at < depth.size)
                gather_plane(w, x + c * t.x_strides[1] + at * t.x_strides[2], q, to);
            else
                for (Index p = 0; p < points; ++p)
                    for (Index i = 0; i < wide; ++i)
                        clear(to + p * t.slot + i * t.channel, w.vectors(w.plane) * Simd<T>::lanes);
        }
}

template <class T>
void gather(const Work<T>& w, const T* x) {
    const WinogradAxis& depth = w.task.axes[0];
    Place kept;
    for (Index z = 0; z < span(depth, w.tiles[0]) && !stopped(w.task); ++z, kept.advance(depth))
        for (Index q = 0; q < depth.residues; ++q) gather_planes(w, x, z, q, kept);
}

template <class T>
void multiply(const Work<T>& w) {
    const WinogradTask& t = w.task;
    const WinogradAxis& depth = t.axes[0];
    const Index points = t.axes[1].points * t.axes[2].points, vectors = w.vectors(w.tiles[0] * w.plane);
    const Index values = t.channels * t.most_tiles + Simd<T>::lanes, sums = t.filters * t.most_tiles + Simd<T>::lanes;
    const T* weights = static_cast<const T*>(t.weights) + w.group * points * depth.points * t.channels * t.filters;
    Index offsets[most_points];
    phases(depth, t.phase, w.plane, offsets);
    for (Index p = 0; p < points; ++p) {
        if (stopped(t)) return;
        T* slot = w.slots + p * t.slot;
        forward(depth, slot, offsets, w.values, values, vectors, {t.channels, t.channel, t.most_tiles});
        for (Index q = 0; q < depth.points; ++q, weights += t.channels * t.filters)
            product(weights, t.filters, t.channels, w.values + q * values, w.sums + q * sums, t.most_tiles, vectors);
        inverse(depth, w.sums, sums, slot, t.most_tiles, vectors,
                {t.filters, t.most_tiles, depth.step * t.most_tiles});
    }
}

// One plane of one filter; `from` is its place in the slots, `out` the output at the block's first row and column.
template <class T>
void scatter_plane(const Work<T>& w, const T* from, T bias, T* out) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    const Index vectors = w.vectors(w.plane);
    const Index rows = least(w.tiles[1] * height.step, height.outputs - w.first[1] * height.step);
    const Index count = least(w.tiles[2] * width.step, width.outputs - w.first[2] * width.step);
    if (t.out_strides[4] == 1)
        for (Index y = 0; y < rows; ++y) expect_row(out + y * t.out_strides[3], count);
    inverse(height, from, width.points * t.slot, w.lines, width.points * t.line, vectors,
            {width.points, t.slot, t.line});
    inverse(width, w.lines, t.line, w.rows, t.line, vectors,
            {height.step, width.points * t.line, width.step * t.line}, bias);
    Place kept;
    for (Index y = 0; y < rows; ++y, kept.advance(height)) {
        const T* phase = w.rows + kept.phase * width.step * t.line + kept.at * w.tiles[2];
        T* to = out + y * t.out_strides[3];
        const bool straight = t.out_strides[4] == 1 && count == w.tiles[2] * width.step;
        join(width.step, width.dilation, phase, t.line, straight ? to : w.row, w.tiles[2]);
        if (!straight) put_row(w.row, to, t.out_strides[4], count);
    }
}

template <class T>
void scatter(const Work<T>& w, T* out) {
    const WinogradTask& t = w.task;
    const WinogradAxis& depth = t.axes[0];
    const T* bias = t.bias ? static_cast<const T*>(t.bias) + w.group * t.filters : nullptr;
    const Index planes = least(w.tiles[0] * depth.step, depth.outputs - w.first[0] * depth.step);
    Place kept;
    for (Index z = 0; z < planes && !stopped(t); ++z, kept.advance(depth)) {
        for (Index f = 0; f < t.filters; ++f)
            scatter_plane(w, w.slots + (f * depth.step + kept.phase) * t.most_tiles + kept.at * w.plane,
                          bias ? bias[f] : T(0), out + f * t.out_strides[1] + z * t.out_strides[2]);
    }
}

// Item number -> batch entry, group, block: the last varies fastest.
template <class T>
void run(const WinogradTask& t, Index item, void* scratch) {
    const Parts p = parts_of(t, Simd<T>::lanes);
    T* const s = static_cast<T*>(scratch);
    Work<T> w{t, s, s + p.values, s + p.sums, s + p.packed, s + p.lines, s + p.rows, s + p.row, s + p.apart,
              {}, {},           0,            0,           0};
    for (int i = 2; i >= 0; --i) {
        const WinogradAxis& a = t.axes[i];
        w.first[i] = item % a.blocks * a.tiles;
        const Index run = a.step * a.dilation;
        w.tiles[i] = least(a.tiles, (a.outputs + run - 1) / run * a.dilation - w.first[i]);
        item /= a.blocks;
    }
    w.plane = w.tiles[1] * w.tiles[2];
    w.group = item % t.groups;
    w.entry = item / t.groups;
    gather(w, static_cast<const T*>(t.x) + w.entry * t.x_strides[0] + w.group * t.sources * t.x_strides[1]);
    multiply(w);
    const Index* o = t.out_strides;
    scatter(w, static_cast<T*>(t.out) + w.entry * o[0] + w.group * t.filters * o[1] +
                   w.first[0] * t.axes[0].step * o[2] + w.first[1] * t.axes[1].step * o[3] +
                   w.first[2] * t.axes[2].step * o[4]);
}

}  // namespace

extern const WinogradUnit winograd;
const WinogradUnit winograd = {CONV3D_ISA_NAME, measure,    weights<float>,       weights<double>,
                               run<float>,      run<double>, largest<float, int>, largest<double, long long>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
