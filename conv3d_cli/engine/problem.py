"""One convolution, described by integers: what every method of the engine is given to serve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, TypeAlias, TypeVar

from conv3d_cli.engine.boundary import ZERO, Boundary
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.shapes import NO_PADS, Pads, Triple, output_size, voxels

Real: TypeAlias = Literal["float32", "float64"]

T = TypeVar("T")

IN_ORDER: Triple = (0, 1, 2)
"""The order of axes that are sorted from the slowest to the fastest in memory."""

ITEMSIZE: dict[str, int] = {"float32": 4, "float64": 8}


@frozen
class Problem:
    """The geometry of one convolution over blocks ``(batch, channels, *size)``; voxels and channels, no units.

    The kernel that goes with it has the shape ``(*kernel, channels // groups, filters)``, the output
    ``(batch, filters, *output_size)``. ``padding`` holds the voxels before and after each axis that are not in the
    block, and ``boundary`` says what is read there.

    >>> Problem(size=(28, 28, 28), kernel=(3, 3, 3), channels=1, filters=2).output_size
    (26, 26, 26)
    """

    size: Triple
    kernel: Triple
    strides: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    padding: Pads = NO_PADS
    batch: int = 1
    channels: int = 1
    filters: int = 1
    groups: int = 1
    dtype: Real = "float32"
    order: Triple = IN_ORDER
    """The spatial axes from the slowest to the fastest in memory; only speed depends on it."""
    boundary: Boundary = ZERO

    def in_memory_order(self) -> Problem:
        """Return the same convolution with its spatial axes sorted from the slowest to the fastest in memory.

        A stride or a dilation that leads out of the padded axis becomes as long as that is: no method then meets
        numbers that have nothing to do with the arrays.

        >>> Problem(size=(5, 5, 5), kernel=(1, 3, 3), strides=(10**30, 2, 1)).in_memory_order().strides
        (5, 2, 1)
        """
        lengths = [max(n + sum(pads), 1) for n, pads in zip(self.size, self.padding, strict=True)]
        strides, dilation = _at_most(self.strides, lengths), _at_most(self.dilation, lengths)
        if (self.order, self.strides, self.dilation) == (IN_ORDER, strides, dilation):
            return self
        return replace(
            self,
            size=sort(self.size, self.order),
            kernel=sort(self.kernel, self.order),
            strides=sort(strides, self.order),
            dilation=sort(dilation, self.order),
            padding=sort(self.padding, self.order),
            order=IN_ORDER,
        )

    @cached_property
    def _number(self) -> int:
        # Plans and layouts are looked up by their problem at every call; no text, whose hash differs between processes.
        sizes = (self.size, self.kernel, self.strides, self.dilation, self.padding, self.order)
        return hash((sizes, self.batch, self.channels, self.filters, self.groups))

    def __hash__(self) -> int:
        """Return the same for equal problems, computed once."""
        return self._number

    @property
    def bounded(self) -> bool:
        """Whether anything but zeros is read outside of the volume."""
        return not self.boundary.is_zero and any(sum(pads) for pads in self.padding)

    @cached_property
    def output_size(self) -> Triple:
        """Voxels of the output along each axis; an axis on which the kernel does not fit has none."""
        d, h, w = (
            max(output_size(n, k, s, r, p), 0)
            for n, k, s, r, p in zip(self.size, self.kernel, self.strides, self.dilation, self.padding, strict=True)
        )
        return d, h, w

    @cached_property
    def kernel_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the kernel, in Keras's layout."""
        return (*self.kernel, self.channels // self.groups, self.filters)

    @cached_property
    def output_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the output block."""
        return (self.batch, self.filters, *self.output_size)

    @property
    def input_shape(self) -> tuple[int, int, int, int, int]:
        """Shape of the input block."""
        return (self.batch, self.channels, *self.size)

    @property
    def taps(self) -> int:
        """Kernel positions per channel."""
        return voxels(self.kernel)

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-adds of the defining sum, padding counted as voxels."""
        return voxels(self.output_shape) * self.taps * (self.channels // self.groups)

    @property
    def input_bytes(self) -> int:
        """Size of the input block in bytes."""
        return voxels(self.input_shape) * ITEMSIZE[self.dtype]

    @property
    def output_bytes(self) -> int:
        """Size of the output block in bytes."""
        return voxels(self.output_shape) * ITEMSIZE[self.dtype]


def sort(values: tuple[T, T, T], order: Triple) -> tuple[T, T, T]:
    """Return three values, one an axis, in another order of the axes.

    >>> sort((10, 20, 30), (2, 1, 0))
    (30, 20, 10)
    """
    return values[order[0]], values[order[1]], values[order[2]]


def _at_most(steps: Triple, lengths: Sequence[int]) -> Triple:
    d, h, w = (min(step, length) for step, length in zip(steps, lengths, strict=True))
    return d, h, w
