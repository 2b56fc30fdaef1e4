"""Initializers that are filters: kernels in physical units, for which the volume's voxels have to be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.filters import FILTERS, Filter, Grid, Kernel
from conv3d_cli.frozen import field, frozen, replace
from conv3d_cli.layers.initializers.filling import Shape
from conv3d_cli.layers.initializers.initializer import Initializer
from conv3d_cli.layers.initializers.philox import Floats

KERNEL_AXES = 5


@frozen
class Filtered(Initializer):
    """The kernel of a filter around the middle of a layer's kernel, for each channel on its own.

    Without ``grid`` the voxels have no spacing, and only lengths in voxels can be used.

    >>> made = Filtered.named({"class_name": "gaussian", "config": {"sigma": "1vox"}}, "kernel_initializer")
    >>> made((11, 11, 11, 1, 1)).shape
    (11, 11, 11, 1, 1)
    """

    filter: Filter = field(default_factory=lambda: Filter.parse("gaussian:sigma=1vox"))
    grid: Grid = field(default_factory=Grid)

    @classmethod
    def named(cls, value: Any, argument: str, keras: int = 2) -> Filtered | None:
        """Return the initializer of a filter's name or mapping, or None for any other value.

        Raises LayerError or UnknownArgument for a filter with wrong parameters, naming ``argument``.
        """
        name = value.get("class_name") if isinstance(value, Mapping) else value
        if not isinstance(name, str) or FILTERS.aliases.get(name, name) not in FILTERS.rows:
            return None
        return cls.made(Filter.of(value, argument), keras=keras)

    @classmethod
    def made(cls, found: Filter, grid: Grid | None = None, keras: int = 2) -> Filtered:
        """Return the initializer of a filter."""
        return cls(found.name, found.plain(), None, keras, found, grid or Grid())

    def on(self, grid: Grid) -> Filtered:
        """Return the initializer for the voxels of a grid."""
        return replace(self, grid=grid)

    @property
    def kernel(self) -> Kernel:
        """The filter's kernel for the voxels of the grid; LayerError where a parameter does not fit them."""
        return self.filter.kernel(self.grid)

    def refuses(self, rank: int) -> str | None:
        """Return why arrays of so many axes cannot be initialized so, or None if they can."""
        if rank == KERNEL_AXES:
            return None
        return f"{self.name} cannot make this array: got {rank} axes, expected the {KERNEL_AXES} of a kernel"

    def written(self, keras: int = 2) -> Any:
        """Return what a spec says for this initializer; no version of Keras has it."""
        return {"class_name": self.name, "config": dict(self.config)}

    def __call__(self, shape: Shape, dtype: str = "float32") -> Floats:
        """Return a new kernel ``(kd, kh, kw, channels, filters)``.

        Filters take turns to be the filter's parts. With one channel, or one of each group, every filter acts on that;
        with more, a filter acts on one channel, and there are as many filters as channels, times parts. Raises
        ShapeError for another number of filters or a kernel that is too small, LayerError where a parameter does not
        fit the voxels.
        """
        if refusal := self.refuses(len(shape)):
            raise LayerError(refusal)
        made = self.kernel
        room, channels, filters = shape[:3], shape[3], shape[4]
        # The voxel on which a kernel of Keras lies with padding "same": of an even size the one before the middle.
        start = [(k - 1) // 2 - n // 2 for k, n in zip(room, made.size, strict=True)]
        if min(start) < 0 or any(s + n > k for s, n, k in zip(start, made.size, room, strict=True)):
            raise ShapeError(
                f"{self.filter.text}: does not fit the layer's kernel_size: got {_x(room)}, expected at least "
                f"{_x(made.size)} on voxels of {self.grid.words}"
            )
        parts = len(made.parts)
        if filters % parts or (channels > 1 and filters != channels * parts):
            wanted = f"{channels * parts}" if channels > 1 else f"a multiple of {parts}"
            raise ShapeError(f"{self.filter.text}: does not fit the layer's filters: got {filters}, expected {wanted}")
        kernel = np.zeros(shape, dtype)
        d, h, w = (slice(s, s + n) for s, n in zip(start, made.size, strict=True))
        for f in range(filters):
            kernel[d, h, w, f // parts if channels > 1 else 0, f] = made.values[f % parts]
        return kernel


def _x(sizes: Any) -> str:
    return "x".join(map(str, sizes))
