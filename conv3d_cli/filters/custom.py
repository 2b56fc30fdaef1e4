"""A kernel from a file, with a spacing of its own: a measured point spread function."""

from __future__ import annotations

from math import ceil

import numpy as np

from conv3d_cli.errors import LayerError
from conv3d_cli.filters.grid import Grid, Loaded, Triple
from conv3d_cli.filters.kernel import Array, Kernel, check_size
from conv3d_cli.lengths import MICROMETRES, Length

#: Spacings that differ by less than this share are the same: files store them in float32.
SAME = 1e-5


def custom(grid: Grid, file: str, spacing: Length | None, normalise: bool) -> Kernel:
    """Return the kernel that a file holds, resampled to the volume's voxels; with ``normalise``, of sum 1.

    The kernel's x, y and z are the volume's, and its middle is its middle voxel, of an even size the one after the
    middle. Of other voxels each takes what lies inside it, so that the sum stays the same. A kernel without a spacing,
    of the file or given, counts voxels of the volume. It is not turned around: a point spread function is to be used
    with ``--flip``.

    >>> from conv3d_cli.filters.filter import Filter
    >>> fine = Grid("xyz", (1.0, 2.0, 2.0), load=lambda name: Loaded(np.ones((5, 3, 3)), "xyz", (1.0, 1.0, 1.0)))
    >>> Filter.parse("custom:file=psf.nii").kernel(fine).values[0, 0].tolist()
    [[0.25, 1.0, 0.25], [1.0, 4.0, 1.0], [0.25, 1.0, 0.25]]
    """
    loaded = grid.load(file)
    values = _checked(loaded, file)
    order = [loaded.axes.index(axis) for axis in grid.axes]
    values = values.transpose(order)
    steps = _steps(grid, loaded, file, spacing, order)
    check_size("custom", [n * step / 2 for n, step in zip(values.shape, steps, strict=True)])
    for axis, step in enumerate(steps):
        values = np.moveaxis(np.tensordot(_overlaps(values.shape[axis], step), values, (1, axis)), 0, axis)
    if normalise:
        total = float(values.sum())
        if abs(total) <= 1e-12 * float(np.abs(values).sum()):
            raise LayerError(f"custom: normalise: the sum of {file!r} is 0: got {total:g}, expected another sum")
        values = values / total
    return Kernel(values[np.newaxis])


def _checked(loaded: Loaded, file: str) -> Array:
    values = np.asarray(loaded.values, dtype=np.float64)
    if values.ndim != 3 or sorted(loaded.axes) != list("xyz"):
        raise LayerError(f"custom: file: {file!r} is no kernel: got axes {loaded.axes}, expected x, y and z")
    if not np.isfinite(values).all():
        count = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise LayerError(f"custom: file: {file!r} has {count} values that are not finite, expected none")
    return values


def _steps(grid: Grid, loaded: Loaded, file: str, given: Length | None, order: list[int]) -> Triple:
    """Return the size of a voxel of the kernel, in voxels of the volume."""
    if given is not None:
        return grid.voxels(given, "custom: spacing")
    if loaded.spacing is None or grid.spacing is None:
        return (1.0, 1.0, 1.0)
    scale = MICROMETRES[loaded.unit] / MICROMETRES[grid.unit]
    a, b, c = (loaded.spacing[i] * scale / own for i, own in zip(order, grid.spacing, strict=True))
    return a, b, c


def _overlaps(size: int, step: float) -> Array:
    """Return what share of each of ``size`` intervals of a length lies in each interval of length 1 around 0.

    >>> _overlaps(3, 0.5).tolist()
    [[0.5, 0.0, 0.0], [0.5, 1.0, 0.5], [0.0, 0.0, 0.5]]
    """
    middle = size // 2
    if abs(step - 1) <= SAME:
        return np.eye(2 * middle + 1, size)
    low = (np.arange(size) - middle - 0.5) * step
    radius = max(0, ceil(max(-low[0], low[-1] + step) - 0.5 - 1e-9))
    cells = np.arange(-radius, radius + 1)[:, None]
    shared = np.minimum(cells + 0.5, low + step) - np.maximum(cells - 0.5, low)
    overlaps: Array = np.maximum(shared, 0.0) / step
    return overlaps
