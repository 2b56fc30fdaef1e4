"""Layers that widen or narrow a volume: zeros around it, or voxels cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from conv3d_cli.errors import ShapeError
from conv3d_cli.kinds import PADS
from conv3d_cli.layers.layer import Array, Layer, Shape
from conv3d_cli.layers.signature import COMMON, COMMON_RULES, DATA_FORMAT, Signature, of_kind
from conv3d_cli.shapes import Pads

ONES: Pads = ((1, 1), (1, 1), (1, 1))


class Borders(Layer):
    """A layer that adds ``margins`` voxels before and after each axis, or cuts them off where they are negative."""

    data_format: str

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output for that of an input; raises ShapeError if nothing is left of an axis.

        >>> Cropping3D(((1, 2), 0, 1)).compute_output_shape((None, 9, 9, 9, 2))
        (None, 6, 9, 7, 2)
        """
        given = self.checked_shape(input_shape)
        shape = list(given)
        for axis, margin in zip(self._axes(len(shape)), self.margins, strict=True):
            size = shape[axis]
            if size is None:
                continue
            if size + sum(margin) < 1:
                raise ShapeError(
                    f"layer {self.name!r}: nothing is left of axis {axis}: got {size} voxels in {given}, "
                    f"expected more than {-sum(margin)}"
                )
            shape[axis] = size + sum(margin)
        return tuple(shape)

    def compute(self, x: Array) -> Array:
        """Return the input with its margins added or cut off, as a new array."""
        margins = [(0, 0)] * x.ndim
        for axis, margin in zip(self._axes(x.ndim), self.margins, strict=True):
            margins[axis] = margin
        return fit(x, margins)

    def _axes(self, rank: int) -> range:
        return range(rank - 4, rank - 1) if self.data_format == "channels_last" else range(rank - 3, rank)


def fit(x: Array, margins: Sequence[tuple[int, int]], out: Array | None = None) -> Array:
    """Return an array with zeros before and after each axis, or with voxels cut off where a margin is negative.

    >>> fit(np.ones(3), [(1, -1)])
    array([0., 1., 1.])
    """
    shape = [n + sum(margin) for n, margin in zip(x.shape, margins, strict=True)]
    result = np.zeros(shape, x.dtype) if out is None else out
    if out is not None:
        result[...] = 0
    inside = tuple(slice(max(before, 0), n - max(after, 0)) for n, (before, after) in zip(shape, margins, strict=True))
    source = tuple(
        slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape, margins, strict=True)
    )
    result[inside] = x[source]
    return result


class ZeroPadding3D(Borders):
    """Keras's ZeroPadding3D: zeros around a volume.

    >>> ZeroPadding3D(1)(np.ones((1, 1, 1, 1, 1))).shape
    (1, 3, 3, 3, 1)
    """

    class_name: ClassVar[str] = "ZeroPadding3D"
    signature: ClassVar[Signature] = Signature(
        "ZeroPadding3D",
        {
            "padding": of_kind("padding", PADS, "zeros before and after each axis", ONES),
            "data_format": DATA_FORMAT,
            **COMMON,
        },
        COMMON_RULES,
    )
    padding: Pads

    @property
    def margins(self) -> Pads:
        """Zeros before and after each axis."""
        return self.padding


class Cropping3D(Borders):
    """Keras's Cropping3D: voxels cut off around a volume.

    >>> Cropping3D(1)(np.ones((1, 3, 3, 3, 1))).shape
    (1, 1, 1, 1, 1)
    """

    class_name: ClassVar[str] = "Cropping3D"
    signature: ClassVar[Signature] = Signature(
        "Cropping3D",
        {
            "cropping": of_kind("cropping", PADS, "voxels cut off before and after each axis", ONES),
            "data_format": DATA_FORMAT,
            **COMMON,
        },
        COMMON_RULES,
    )
    cropping: Pads

    @property
    def margins(self) -> Pads:
        """Voxels cut off before and after each axis, as negative numbers."""
        (a, b), (c, d), (e, f) = self.cropping
        return (-a, -b), (-c, -d), (-e, -f)
