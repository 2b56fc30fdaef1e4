// One item of a separable convolution: a few output planes, row by row. Compiled once per instruction set.

#include "separable.hpp"

#include "separable_lines.hpp"
#include "separable_rows.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

// A few lines of output plane `z` from row `y` of the tile on: the sums along H. Rows from `filled` on belong to no
// output.
template <class T>
void sum_rows(const Tile3<T>& tile, Index z, Index y, Index outputs, Index filled) {
    const SeparableTask& task = tile.task;
    const Index first = position(task, 1, tile.block.first[1] + y);
    ColumnSum<T> sum{};
    sum.rows = tile.rows;
    sum.rows_of_term = task.taps[1] + separable_step;
    sum.taps = task.taps[1];
    sum.vectors = tile.vectors;
    sum.out_row = task.line;
    sum.weights = tile.weights[1];
    const Edge& edge = task.boundary.axes[1];
    const Index step = task.dilation[1], end = least(task.size[1] + edge.after, filled), missing = -edge.before - first;
    const Index beyond = missing > 0 ? least((step - 1 + missing) / step, task.taps[1] + outputs - 1) : 0;
    for (Index t = 0; t < task.terms; ++t) {
        const T** rows = tile.rows + t * sum.rows_of_term;
        Index r = 0, p = first + beyond * step;
        for (; r < beyond; ++r) rows[r] = tile.constant;
        for (Index slot = ring_slot(task, p); r < task.taps[1] + outputs - 1; ++r, p += step, slot += step) {
            if (slot >= task.ring_rows) slot %= task.ring_rows;  // seldom: a division takes long
            rows[r] = p < end ? ring_row(tile, t, z, slot) : tile.constant;
        }
    }
    // The terms of a box along W have the same weights there: one sum along W serves them together.
    sum.terms = task.box[2] ? task.terms : 1;
    for (Index t = 0; t < task.terms; t += sum.terms) {
        sum.out = tile.lines + t * separable_step * task.line + tile.margin;
        sum_columns(task, 1, outputs, sum);
        sum.rows += sum.rows_of_term;
        sum.weights += task.taps[1];
    }
}

// What lies around the volume in the lines that sums along H have filled.
template <class T>
void fill_ends(const Tile3<T>& tile, Index outputs) {
    const SeparableTask& task = tile.task;
    const Index together = task.box[2] ? task.terms : 1;
    for (Index t = 0; t < task.terms; t += together) {
        double around = 0;
        for (Index i = t; tile.around && i < t + together; ++i) around += tile.around[i];
        const T fill = static_cast<T>(around);
        for (Index i = 0; i < outputs; ++i) {
            T* volume = tile.lines + (t * separable_step + i) * task.line + tile.margin - tile.low;
            for (const End& end : tile.ends) fill_end(end, task.boundary.axes[2], volume, fill);
        }
    }
}

// Line `i` along W into the row `out` of the output; `sum` is what all lines have in common.
template <class T>
void sum_line(const Tile3<T>& tile, LineSum<T>& sum, Index i, T* out) {
    const SeparableTask& task = tile.task;
    const Index step = task.out_strides[4], stride = task.strides[2], columns = tile.block.count[2];
    const bool in_place = step == 1 && stride == 1;
    const Index count = (columns - 1) * stride + 1;
    sum.lines = tile.lines + i * task.line + tile.shift;
    if (task.box[2]) {
        const T* from = sum.lines - tile.shift;
        for (Index n = 0; n < 3; ++n) {
            T* to = tile.doubled + n * task.line;
            add_neighbours(from, task.dilation[2] << n, task.line / Simd<T>::lanes - 1, to);
            sum.twos[n] = to + tile.shift;
            from = to;
        }
    }
    const bool past = in_place && task.stream;
    const Index beyond = static_cast<Index>(reinterpret_cast<std::size_t>(out) % cache_line);
    const Index first = past && beyond ? (cache_line - beyond) / static_cast<Index>(sizeof(T)) : 0;
    (task.box[2] ? line_sum<T, BoxLine> : line_sum<T, WeightedLine>)(sum, count, first, past,
                                                                      in_place ? out : tile.kept);
    if (in_place) return;
    for (Index v = 0; v < columns; ++v) out[v * step] = tile.kept[v * stride];
}

template <class T>
void march(const Tile3<T>& tile, LineSum<T>& line) {
    const SeparableTask& task = tile.task;
    const Index* o = task.out_strides;
    const Index rows = tile.block.count[1];
    const Edge& edge = task.boundary.axes[1];
    const Index begin = most(position(task, 1, tile.block.first[1]), -edge.before);
    Index filled = begin;
    for (Index y = 0; y < rows; y += separable_step) {
        if (__atomic_load_n(task.stop, __ATOMIC_RELAXED)) return;
        const Index end = least(y + separable_step, rows);
        const Index needed = position(task, 1, tile.block.first[1] + end - 1) + reach(task, 1) + 1;
        const Index until = least(needed, task.size[1] + edge.after), inside = most(filled, 0);
        // Rows before the volume come last, as they may be the same as others.
        for (Index row = inside; row < until; ++row)
            fill_row(tile, row, most(most(begin, 0), row - task.ring_rows + 1), least(row, task.size[1]));
        const Index first = most(filled, position(task, 1, tile.block.first[1] + y));
        for (Index row = first; row < least(inside, until); ++row)
            fill_row(tile, row, most(inside, until - task.ring_rows), least(until, task.size[1]));
        filled = most(filled, until);
        for (Index z = 0; z < tile.block.count[0]; ++z)
            for (Index row = y, some; row < end; row += some) {
                some = at_once(task, 1, end - row);
                sum_rows(tile, z, row, some, filled);
                if (!task.boundary.is_zero) fill_ends(tile, least(some, end - row));
                T* out = tile.out + (tile.block.first[0] + z) * o[2] + (tile.block.first[1] + row) * o[3] +
                         tile.block.first[2] * o[4];
                for (Index i = 0; i < least(some, end - row); ++i) sum_line(tile, line, i, out + i * o[3]);
            }
    }
}

// Item number -> batch entry, filter, block: the planes vary fastest, whose inputs overlap most.
template <class T>
void run(const SeparableTask& task, Index item, void* elements, void* pointers) {
    constexpr Index lanes = Simd<T>::lanes;
    Block block;
    const int order[] = {0, 2, 1};
    for (int axis : order) {
        block.first[axis] = item % task.blocks[axis] * task.tile[axis];
        block.count[axis] = least(task.tile[axis], task.outputs[axis] - block.first[axis]);
        item /= task.blocks[axis];
    }
    const Index filter = item % task.filters, entry = item / task.filters;
    const Index group = filter / task.filters_of_group;
    const T* x = static_cast<const T*>(task.x) + entry * task.x_strides[0] +
                 group * task.channels_of_group * task.x_strides[1];
    T* out = static_cast<T*>(task.out) + entry * task.out_strides[0] + filter * task.out_strides[1];
    T* slab = static_cast<T*>(elements);
    T* ring = slab + separable_slab(task);
    T* lines = ring + separable_ring(task);
    T* doubled = lines + task.terms * separable_step * task.line;
    T* kept = doubled + 3 * task.line;
    T* constant = lines + separable_lines(task);
    const Index left = position(task, 2, block.first[2]);
    const Index right = left + (block.count[2] - 1) * task.strides[2] + reach(task, 2) + 1;
    const SeparableColumns& columns = task.columns[block.first[2] / task.tile[2]];
    const Index before = columns.low - columns.begin, room = (lanes - before % lanes) % lanes;
    const Index zero = room + before - columns.low;  // of position 0 in a line
    const Edge& edge = task.boundary.axes[2];
    Tile3<T> tile{task, x, out, {}, task.channel + filter * task.terms, block, columns.low, columns.high,
                  (columns.high - columns.low + lanes - 1) / lanes, room + left - columns.begin,
                  room + before, task.around ? task.around + filter * task.terms : nullptr,
                  slab, ring, lines, doubled, kept, constant, static_cast<const T**>(pointers),
                  static_cast<Index*>(pointers) + task.slab_planes,
                  static_cast<const T**>(pointers) + 2 * task.slab_planes,
                  {end_of(edge, left, least(right, 0), -1, zero, task.line, lanes),
                   end_of(edge, most(left, edge.size), right, 1, zero, task.line, lanes)}};
    const Index top = position(task, 0, block.first[0]), planes = planes_of(task, block.count[0]);
    for (Index p = 0; p < planes; ++p) {
        const Index at = source(task.boundary.axes[0], top + p);
        const Index plane = at >= top && at < top + planes ? at - top : p;
        tile.planes[p] = at == outside ? constant : slab + plane * task.pitch;
        tile.copied[p] = plane == p ? at : outside;
    }
    for (int axis = 0; axis < 3; ++axis)
        tile.weights[axis] = static_cast<const T*>(task.weights[axis]) + filter * task.terms * task.taps[axis];
    LineSum<T> line{};
    line.line_of_term = separable_step * task.line;
    line.weights = tile.weights[2];
    line.terms = task.terms;
    line.taps = task.taps[2];
    line.step = task.dilation[2];
    line.apart = lanes % line.step == 0 ? lanes / line.step : line.taps;
    line.start = task.bias ? static_cast<const T*>(task.bias)[filter] : T{};
    clear(lines, separable_lines(task));
    flood(constant, task.pitch, static_cast<T>(task.boundary.fill));
    march(tile, line);
    if (task.stream) stream_end();
}

}  // namespace

extern const SeparableUnit separable_unit;
const SeparableUnit separable_unit = {run<float>, run<double>};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
