// One block of tiles of a convolution by Cook-Toom tiles, in three stages. Compiled once for each instruction set.
//
//   gather    reads the input plane by plane, applies B along W and H, and files the result by point of H x W;
//   multiply  takes one such slot at a time: B along D, the products, A along D, all in the first-level cache. The
//             result, which is smaller, takes the slot's place;
//   scatter   applies A along H and W, adds the bias and writes the output plane by plane.

#include "winograd_gather.hpp"
#include "winograd_product.hpp"
#include "winograd_weights.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

inline int infinite(const WinogradAxis& axis, Index point) { return axis.points > 1 && point == axis.points - 1; }

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
        const int plane = 2 * infinite(t.axes[1], p / t.axes[2].points) + infinite(t.axes[2], p % t.axes[2].points);
        for (Index q = 0; q < depth.points; ++q, weights += t.channels * t.filters)
            product(weights, t.filters, t.channels, t.runs[4 * infinite(depth, q) + plane], w.values + q * values,
                    w.sums + q * sums, t.most_tiles, vectors);
        inverse(depth, w.sums, sums, slot, t.most_tiles, vectors,
                {t.filters, t.most_tiles, depth.step * t.most_tiles});
    }
}

// One plane of one filter, A along H and W; `from` is its place in the slots.
template <class T>
void restore_plane(const Work<T>& w, const T* from, T bias, T* to) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    const Index vectors = w.vectors(w.plane);
    inverse(height, from, width.points * t.slot, w.lines, width.points * t.line, vectors,
            {width.points, t.slot, t.line});
    inverse(width, w.lines, t.line, to, t.line, vectors, {height.step, width.points * t.line, width.step * t.line},
            bias);
}

// The rows of some filters; `out` is the output at the block's first row and column.
template <class T>
void write_plane(const Work<T>& w, Index rows, Index count, Index filters, T* out) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    const Index* o = t.out_strides;
    const bool straight = o[4] == 1 && count == w.tiles[2] * width.step && filters == 1;
    Place kept;
    for (Index y = 0; y < rows; ++y, kept.advance(height), out += o[3]) {
        const T* phase = w.rows + kept.phase * width.step * t.line + kept.at * w.tiles[2];
        for (Index f = 0; f < filters; ++f)
            join(width.step, width.dilation, phase + f * t.outputs, t.line, straight ? out : w.row + f * t.voxels,
                 w.tiles[2]);
        if (filters > 1)
            put_rows(w.row, t.voxels, out, o[1], o[4], filters, count);
        else if (!straight)
            put_row(w.row, out, o[4], count);
    }
}

template <class T>
void scatter(const Work<T>& w, T* out) {
    const WinogradTask& t = w.task;
    const WinogradAxis &depth = t.axes[0], &height = t.axes[1], &width = t.axes[2];
    const T* bias = t.bias ? static_cast<const T*>(t.bias) + w.group * t.filters : nullptr;
    const Index planes = least(w.tiles[0] * depth.step, depth.outputs - w.first[0] * depth.step);
    const Index rows = least(w.tiles[1] * height.step, height.outputs - w.first[1] * height.step);
    const Index count = least(w.tiles[2] * width.step, width.outputs - w.first[2] * width.step);
    Place kept;
    for (Index z = 0; z < planes && !stopped(t); ++z, kept.advance(depth))
        for (Index f = 0, filters; f < t.filters; f += filters) {
            filters = least(t.filters_abreast, t.filters - f);
            T* to = out + f * t.out_strides[1] + z * t.out_strides[2];
            if (t.out_strides[4] == 1)
                for (Index y = 0; y < rows; ++y) expect_row(to + y * t.out_strides[3], count);
            for (Index i = 0; i < filters; ++i)
                restore_plane(w, w.slots + ((f + i) * depth.step + kept.phase) * t.most_tiles + kept.at * w.plane,
                              bias ? bias[f + i] : T(0), w.rows + i * t.outputs);
            write_plane(w, rows, count, filters, to);
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
const WinogradUnit winograd = {measure,
                               weights<float>,
                               weights<double>,
                               energies<float>,
                               energies<double>,
                               run<float>,
                               run<double>,
                               largest<float, int>,
                               largest<double, long long>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
