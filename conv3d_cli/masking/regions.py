"""Where a mask has voxels, and the pieces in which they are convolved: a part of the output and what it reads.

All axes stand in memory order, the slowest first.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.engine.boundary import Boundary, Places
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import NO_PADS, Pads, Triple, voxels

Array: TypeAlias = NDArray[Any]
Box: TypeAlias = tuple[slice, slice, slice]
Places3: TypeAlias = tuple["slice | Places", "slice | Places", "slice | Places"]

LEAST_VOXELS = 1 << 18
"""Voxels that a piece may read however small the volume is: 1 MiB of float32."""

SHARE = 8
"""A piece of a large volume reads one part in so many of it."""

SLAB_VOXELS = 1 << 20
"""Voxels in which labels are looked for at a time."""

REACHES = 2
"""Planes that a piece reads at least, in lengths of the kernel's reach: half of them are its neighbours' too."""


@frozen
class Region:
    """The box around the voxels of one label; all voxels of a volume without a mask have the label 0."""

    label: int
    box: Box


@frozen
class Piece:
    """A part of a region: the outputs, and the voxels that they read.

    ``source`` has a slice or, where mirrored or repeated voxels are read, places for each axis. ``padding`` counts
    the positions beyond, which a constant boundary fills.
    """

    label: int
    outputs: Box
    source: Places3
    padding: Pads

    @property
    def size(self) -> Triple:
        """Voxels of the output along each axis."""
        a, b, c = (part.stop - part.start for part in self.outputs)
        return a, b, c

    @property
    def window(self) -> Triple:
        """Voxels that are read along each axis."""
        a, b, c = (part.stop - part.start if isinstance(part, slice) else len(part) for part in self.source)
        return a, b, c

    def read(self, array: Array) -> Array:
        """Return what the piece reads of an array whose last three axes are space: a view, or a copy where it must."""
        a, b, c = (part if isinstance(part, slice) else slice(None) for part in self.source)
        found = array[..., a, b, c]
        for axis, part in enumerate(self.source, start=-3):
            if not isinstance(part, slice):
                found = np.take(found, part, axis=axis)
        return found


@frozen
class Cut:
    """How the volume of a size is cut into pieces, for a kernel that reaches ``padding`` beyond each output."""

    size: Triple
    padding: Pads
    boundary: Boundary

    def pieces(self, region: Region) -> Iterator[Piece]:
        """Yield the pieces that cover the box of a region, slabs across the slowest axis."""
        first, *others = region.box
        rows = first.stop - first.start
        thick = self._thickness(prod(self._length(1 + i, part) for i, part in enumerate(others)))
        count = ceil(rows / thick)
        for i in range(count):
            slab = slice(first.start + rows * i // count, first.start + rows * (i + 1) // count)
            yield self._piece(region, (slab, others[0], others[1]))

    @property
    def most(self) -> tuple[int, int]:
        """The voxels that a piece of any region reads at most, and the voxels of its output."""
        depth, height, width = (self._length(axis, slice(0, n)) for axis, n in enumerate(self.size))
        plane, reach = height * width, sum(self.padding[0])
        thick = self._thickness(plane)
        # A region with smaller planes has thicker slabs, but by no more than keeps their voxels within the same share.
        read = max((thick + reach) * plane, min(self._share, (self.size[0] + reach) * plane))
        return min(read, depth * plane), min(read, voxels(self.size))

    @property
    def _share(self) -> int:
        return max(LEAST_VOXELS, voxels(self.size) // SHARE)

    def _thickness(self, plane: int) -> int:
        """Return the rows of a slab's output, where each row that it reads has so many voxels."""
        reach = sum(self.padding[0])
        return max((REACHES - 1) * reach, self._share // plane - reach, 1)

    def _length(self, axis: int, outputs: slice) -> int:
        """Return how many positions the outputs of a region read along an axis, at most."""
        length, reach = int(outputs.stop - outputs.start), sum(self.padding[axis])
        if self.boundary.is_zero:
            return length
        return min(length + reach, self.size[axis]) if self.boundary.is_constant else length + reach

    def _piece(self, region: Region, outputs: Box) -> Piece:
        """Return the piece of some outputs.

        Beside zeros a region is as good as the volume: what lies outside of it takes no part.
        """
        source: list[slice | Places] = []
        pads = list(NO_PADS)
        for axis, (part, size, (before, after)) in enumerate(zip(outputs, self.size, self.padding, strict=True)):
            start, stop = part.start - before, part.stop + after
            within = region.box[axis] if self.boundary.is_zero else slice(0, size)
            outside = max(within.start - start, 0), max(stop - within.stop, 0)
            if self.boundary.is_constant or not any(outside):
                source.append(slice(max(start, within.start), min(stop, within.stop)))
                pads[axis] = outside
            else:
                source.append(self.boundary.places(size, before, after)[start + before : stop + before])
        a, b, c = source
        return Piece(region.label, outputs, (a, b, c), (pads[0], pads[1], pads[2]))


def regions_of(labels: Array | None, size: Triple, count: int) -> list[Region]:
    """Return the region of every label from 1 to ``count`` that an array (d1, d2, d3) of whole numbers holds.

    A mask of bool is the label 1; without an array there is one region of the whole volume.

    >>> labels = np.zeros((4, 5, 6), np.uint8)
    >>> labels[1:3, 2, 3:] = 2
    >>> regions_of(labels, (4, 5, 6), 2)
    [Region(label=2, box=(slice(1, 3, None), slice(2, 3, None), slice(3, 6, None)))]
    """
    if labels is None:
        return [whole_of(size)]
    if labels.dtype == np.bool_:
        box = _box(labels)
        return [] if box is None else [Region(1, box)]
    lows, highs = _corners(labels, count)
    found = [label for label in range(1, count + 1) if highs[0, label]]
    spans = {label: [slice(int(lows[i, label]), int(highs[i, label])) for i in range(3)] for label in found}
    return [Region(label, (a, b, c)) for label, (a, b, c) in spans.items()]


def whole_of(size: Triple) -> Region:
    """Return the region of all voxels."""
    return Region(0, (slice(0, size[0]), slice(0, size[1]), slice(0, size[2])))


def _corners(labels: Array, count: int) -> tuple[Array, Array]:
    """Return the least index and the one behind the greatest, (axes, labels), of every label that there is.

    Runs of one label along the fastest axis are looked at, and not voxels. Of a label that is not there both are 0.
    """
    depth, height, width = labels.shape
    lows = np.full((3, count + 1), max(labels.shape))
    highs = np.zeros((3, count + 1), np.int64)
    rows = max(1, SLAB_VOXELS // (height * width))
    for start in range(0, depth, rows):
        flat = labels[start : start + rows].reshape(-1)
        begins = np.ones(flat.size, np.bool_)
        np.not_equal(flat[1:], flat[:-1], out=begins[1:])
        begins[::width] = True
        first = np.flatnonzero(begins)
        last = np.append(first[1:], flat.size) - 1
        order = np.argsort(flat[first], kind="stable")
        first, last = first[order], last[order]
        names = flat[first]
        groups = np.flatnonzero(np.append(True, names[1:] != names[:-1]))
        label = names[groups]
        plane = first // (height * width) + start
        line = first // width % height
        for axis, (low, high) in enumerate(((plane, plane), (line, line), (first % width, last % width))):
            lows[axis, label] = np.minimum(lows[axis, label], np.minimum.reduceat(low, groups))
            highs[axis, label] = np.maximum(highs[axis, label], np.maximum.reduceat(high, groups) + 1)
    return np.minimum(lows, highs), highs


def _box(mask: Array) -> Box | None:
    """Return the box around the voxels of a mask, or None if it has none."""
    spans = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        if not inside.size:
            return None
        spans.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return spans[0], spans[1], spans[2]
