// The first stage of winograd_kernel.cpp: reads the input plane by plane, applies B along W and H, and files the result
// by point of H x W.
#pragma once

#include "winograd_rows.hpp"
#include "winograd_transform.hpp"
#include "winograd_work.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <class T>
Columns columns_of(const Work<T>& w) {
    const WinogradAxis& width = w.task.axes[2];
    const Index run = width.step * width.dilation;  // voxels of so many tiles as the dilation
    Columns c = {w.first[2] * width.step * width.stride - width.before, w.tiles[2] + reach(width), 0, 0};
    c.low = least((most(-c.begin, 0) + run - 1) / run * width.dilation, c.tiles);
    c.high = most(least(most(width.size - c.begin, 0) / run * width.dilation, c.tiles), c.low);
    return c;
}

// A row of some channels that is copied first, and taken apart by residue.
template <class T>
void gather_copied(const Work<T>& w, const T* line, Index channels, const Columns& columns, T* to,
                   Index residue_pitch) {
    const WinogradTask& t = w.task;
    const WinogradAxis& width = t.axes[2];
    const T fill = static_cast<T>(t.boundary.fill);
    const Index count = columns.tiles * width.step, voxels = count * width.stride, pitch = width.step * t.row;
    if (t.channels_abreast > 1)
        fetch_rows(line, t.x_strides[1], t.x_strides[4], t.boundary.axes[2], columns.begin, voxels, fill, w.row,
                   t.voxels, channels);
    else
        fetch_row(line, t.x_strides[4], t.boundary.axes[2], columns.begin, voxels, fill, w.row);
    for (Index c = 0; c < channels; ++c, to += t.packed) {
        const T* from = w.row + c * t.voxels;
        if (width.stride > 1) {
            split(width.stride, 1, from, w.apart, pitch, count);
            from = w.apart;
        }
        for (Index q = 0; q < width.residues; ++q)
            split(width.step, width.dilation, from + q * pitch, to + q * residue_pitch, t.row, columns.tiles);
    }
}

// One row of the input, of some channels, by residue and then by phase; `line` is null where all of it is the constant
// around the volume.
template <class T>
void gather_row(const Work<T>& w, const T* line, Index channels, const Columns& columns, T* to, Index residue_pitch) {
    const WinogradTask& t = w.task;
    const WinogradAxis& width = t.axes[2];
    const T fill = static_cast<T>(t.boundary.fill);
    if (!line) {
        for (Index c = 0; c < channels; ++c)
            for (Index q = 0; q < width.residues; ++q)
                flood(to + c * t.packed + q * residue_pitch, width.step * t.row, fill);
        return;
    }
    if (t.x_strides[4] == 1 && channels == 1)  // the next channel's
        prefetch_row(line + t.x_strides[1] + columns.begin, columns.tiles * width.step * width.stride);
    if (t.x_strides[4] == 1 && width.stride == 1 && channels == 1 && columns.high - columns.low >= Simd<T>::lanes)
        split_line(width.step, width.dilation, line, t.boundary.axes[2], columns, fill, to, t.row);
    else
        gather_copied(w, line, channels, columns, to, residue_pitch);
}

// The rows of one residue in one plane of some channels, packed; `plane` is null as a row may be.
template <class T>
void gather_rows(const Work<T>& w, const T* plane, Index channels, Index residue) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    const Columns columns = columns_of(w);
    const Index rows = span(height, w.tiles[1]), row = width.step * t.row, phase = t.rows * row;
    Place kept;
    for (Index y = 0; y < rows; ++y, kept.advance(height)) {
        const Index at =
            source(t.boundary.axes[1], (w.first[1] * height.step + y) * height.stride + residue - height.before);
        gather_row(w, !plane || at == outside ? nullptr : plane + at * t.x_strides[3], channels, columns,
                   w.packed + kept.phase * phase + kept.at * row, height.step * phase);
    }
}

// Packed rows of one channel: B along W row by row, then along H; `to` is its place in the slots.
template <class T>
void gather_plane(const Work<T>& w, const T* packed, T* to) {
    const WinogradTask& t = w.task;
    const WinogradAxis &height = t.axes[1], &width = t.axes[2];
    Index along_w[most_points], along_h[most_points];
    phases(width, t.row, 1, along_w);
    phases(height, width.points * t.line, w.tiles[2], along_h);
    const Index rows = span(height, w.tiles[1]), row = width.step * t.row, phase = t.rows * row;
    for (Index q = 0; q < width.residues; ++q, to += t.sources * t.channel) {
        for (Index r = 0; r < height.step; ++r) {
            const Index runs = (rows / height.dilation - r + height.step - 1) / height.step;
            forward(width, packed + (q * height.step + r) * phase, along_w, w.lines + r * width.points * t.line,
                    t.line, w.vectors(w.tiles[2]), {runs * height.dilation, row, w.tiles[2]});
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
    const Index at =
        source(t.boundary.axes[0], (w.first[0] * depth.step + z) * depth.stride + residue - depth.before);
    const Index wide = t.axes[2].residues, points = t.axes[1].points * t.axes[2].points;
    const bool empty = at == outside && t.boundary.fill == 0;
    for (Index c = 0, channels; c < t.sources; c += channels) {
        channels = least(t.channels_abreast, t.sources - c);
        for (Index q = 0; q < t.axes[1].residues; ++q) {
            const Index first = (residue * t.axes[1].residues + q) * wide * t.sources + c;
            if (!empty)
                gather_rows(w, at == outside ? nullptr : x + c * t.x_strides[1] + at * t.x_strides[2], channels, q);
            for (Index i = 0; i < channels; ++i) {
                T* to = w.slots + (first + i) * t.channel + kept.phase * t.phase + kept.at * w.plane;
                if (!empty)
                    gather_plane(w, w.packed + i * t.packed, to);
                else
                    for (Index p = 0; p < points; ++p)
                        for (Index j = 0; j < wide; ++j)
                            clear(to + p * t.slot + j * t.sources * t.channel, w.vectors(w.plane) * Simd<T>::lanes);
            }
        }
    }
}

template <class T>
void gather(const Work<T>& w, const T* x) {
    const WinogradAxis& depth = w.task.axes[0];
    Place kept;
    for (Index z = 0; z < span(depth, w.tiles[0]) && !stopped(w.task); ++z, kept.advance(depth))
        for (Index q = 0; q < depth.residues; ++q) gather_planes(w, x, z, q, kept);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
