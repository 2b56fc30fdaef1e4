"""How a file's axes become the engine's ``(N, C, D, H, W)`` blocks and back: views only, no voxel moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from conv3d_cli.engine.recycled import OUTPUTS
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import Triple

Array: TypeAlias = NDArray[Any]

SPACE = "xyz"
BATCH = "tb"


@frozen
class Arrangement:
    """The axes of one array: a letter each (x y z space, c channels, t and b batch), and its storage order.

    ``made`` tells a channel axis that a layer made from one that the file has.
    """

    axes: str
    shape: tuple[int, ...]
    storage: str = "C"
    made: bool = False

    @property
    def space(self) -> str:
        """The spatial axes in the file's index order: the layer's dimensions 1, 2 and 3."""
        return "".join(axis for axis in self.axes if axis in SPACE)

    @property
    def size(self) -> Triple:
        """Voxels along the layer's dimensions 1, 2 and 3."""
        first, second, third = (self.shape[self.axes.index(axis)] for axis in self.space)
        return first, second, third

    @property
    def channels(self) -> int:
        """Number of channels; 1 without a channel axis."""
        return self.shape[self.axes.index("c")] if "c" in self.axes else 1

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Lengths of the batch axes, in the file's order."""
        return tuple(n for axis, n in zip(self.axes, self.shape, strict=True) if axis in BATCH)

    @property
    def memory_order(self) -> Triple:
        """The spatial dimensions from the slowest to the fastest in memory."""
        return (2, 1, 0) if self.storage == "F" else (0, 1, 2)

    def after(self, size: Triple, filters: int, channels_first: bool) -> Arrangement:
        """Return the arrangement of an output: several filters without a channel axis get one, a single filter none.

        The new axis stands at the end; with ``channels_first`` in front, except where storage is Fortran's: there the
        format (NIfTI) demands that space comes first. An axis that a layer made goes with the last but one channel;
        one that the file has stays.
        """
        axes, made = self.axes, self.made
        if filters > 1 and "c" not in axes:
            axes, made = "c" + axes if channels_first and self.storage == "C" else axes + "c", True
        elif filters == 1 and made:
            axes, made = axes.replace("c", ""), False
        known = {**dict(zip(self.space, size, strict=True)), "c": filters}
        batches = iter(self.batch_shape)
        shape = tuple(known[axis] if axis in known else next(batches) for axis in axes)
        return Arrangement(axes, shape, self.storage, made)

    def empty(self, dtype: DTypeLike) -> Array:
        """Return an uninitialised array of this shape and storage order."""
        if self.storage == "F":
            return OUTPUTS.empty(self.shape[::-1], dtype).T
        return OUTPUTS.empty(self.shape, dtype)

    def planar(self, array: Array) -> Array:
        """Return a view ``batch_shape + (C, d1, d2, d3)`` of an array in file order."""
        batch = [i for i, axis in enumerate(self.axes) if axis in BATCH]
        space = [self.axes.index(axis) for axis in self.space]
        if "c" in self.axes:
            return array.transpose(*batch, self.axes.index("c"), *space)
        return np.expand_dims(array.transpose(*batch, *space), len(batch))


def paired_blocks(x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    """Yield views ``(N, C, D, H, W)`` of two planar arrays that cover their common batch axes between them.

    One pair where the batch axes can be merged without a copy, else one for each index of the first.
    """
    if x.ndim == 4:
        yield x[np.newaxis], y[np.newaxis]
    elif x.ndim == 5:
        yield x, y
    elif (merged := _merged(x)) is not None and (target := _merged(y)) is not None:
        yield from paired_blocks(merged, target)
    else:
        for one, other in zip(x, y, strict=True):
            yield from paired_blocks(one, other)


def _merged(array: Array) -> Array | None:
    """Return the array with its first two axes made one, or None where that would copy."""
    outer, inner = array.shape[:2]
    if inner == 1:
        return array[:, 0]
    if outer > 1 and array.strides[0] != inner * array.strides[1]:
        return None
    step = (array.strides[1], *array.strides[2:])
    return np.lib.stride_tricks.as_strided(array, (outer * inner, *array.shape[2:]), step)
