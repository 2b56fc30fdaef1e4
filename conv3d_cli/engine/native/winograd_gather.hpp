// The first stage of winograd_kernel.cpp: reads the input plane by plane, applies B along W and H, and files the result
// by point of H x W.
#pragma once

#include "winograd_rows.hpp"
#include "winograd_transform.hpp"
#include "winograd_work.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// One row of the input from voxel `begin` on, by residue and then by phase; `line` is null where all of it is the
// constant around the volume.
template <class T>
void gather_row(const Work<T>& w, const T* line, Index begin, Index count, T* to, Index residue_pitch) {
    const WinogradTask& t = w.task;
    const WinogradAxis& width = t.axes[2];
    const Index voxels = count * width.stride, pitch = width.step * t.row;
    if (!line) {
        flood(w.row, voxels, static_cast<T>(t.boundary.fill));
    } else {
        if (t.x_strides[4] == 1) prefetch_row(line + t.x_strides[1] + begin, voxels);  // the next channel's
        fetch_row(line, t.x_strides[4], t.boundary.axes[2], begin, voxels, static_cast<T>(t.boundary.fill), w.row);
    }
    const T* from = w.row;
    if (width.stride > 1) {
        split(width.stride, 1, w.row, w.apart, pitch, count);
        from = w.apart;
    }
    for (Index q = 0; q < width.residues; ++q)
        split(width.step, width.dilation, from + q * pitch, to + q * residue_pitch, t.row, count / width.step);
}

// One plane of one channel, the rows of one residue: B along W row by row, then along H; `to` is its place in the
// slots. `plane` is null as a row may be.
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
        const Index at =
            source(t.boundary.axes[1], (w.first[1] * height.step + y) * height.stride + residue - height.before);
        gather_row(w, !plane || at == outside ? nullptr : plane + at * t.x_strides[3], begin, count,
                   w.packed + kept.phase * phase + kept.at * row, height.step * phase);
    }
    for (Index q = 0; q < width.residues; ++q, to += t.sources * t.channel) {
        for (Index r = 0; r < height.step; ++r) {
            const Index runs = (rows / height.dilation - r + height.step - 1) / height.step;
            forward(width, w.packed + (q * height.step + r) * phase, along_w, w.lines + r * width.points * t.line,
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
    for (Index c = 0; c < t.sources; ++c)
        for (Index q = 0; q < t.axes[1].residues; ++q) {
            const Index channel = (residue * t.axes[1].residues + q) * wide * t.sources + c;
            T* to = w.slots + channel * t.channel + kept.phase * t.phase + kept.at * w.plane;
            if (at != outside || t.boundary.fill != 0)
                gather_plane(w, at == outside ? nullptr : x + c * t.x_strides[1] + at * t.x_strides[2], q, to);
            else
                for (Index p = 0; p < points; ++p)
                    for (Index i = 0; i < wide; ++i)
                        clear(to + p * t.slot + i * t.sources * t.channel, w.vectors(w.plane) * Simd<T>::lanes);
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
