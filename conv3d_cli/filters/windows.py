"""Means over a window: a box, or a ball."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from conv3d_cli.filters.grid import Grid
from conv3d_cli.filters.kernel import Array, Kernel, check_size, offsets, outer
from conv3d_cli.lengths import VOXELS, Length

#: A voxel on the rim of a ball is in it, whatever rounding made of its distance.
ROUNDING = 1e-9


def box(grid: Grid, size: Length) -> Kernel:
    """Return the mean over a box along the voxels' axes.

    A whole number of voxels, given in voxels, is scipy.ndimage's ``uniform_filter``: an even one has its extra voxel
    before the middle. Any other size lies around the middle, and the voxels at its rim count in part.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("box:size=4mm").kernel(Grid("xyz", (2.0, 4.0, 8.0))).values[0, :, 0, 0].tolist()
    [0.25, 0.5, 0.25]
    """
    widths, units = grid.voxels(size, "box: size"), grid.along(size.units)
    check_size("box", [width / 2 for width in widths])
    whole = [unit in (None, VOXELS) and width == int(width) for width, unit in zip(widths, units, strict=True)]
    profiles = [_whole(int(w)) if is_whole else _in_part(w) for w, is_whole in zip(widths, whole, strict=True)]
    return Kernel(outer(profiles)[np.newaxis])


def _whole(width: int) -> Array:
    profile = np.full(width, 1 / width)
    return profile if width % 2 else np.append(profile, 0.0)


def _in_part(width: float) -> Array:
    """Return the share of each voxel that an interval around the middle covers, over the interval's length."""
    if width <= 1:
        return np.ones(1)
    radius = ceil((width - 1) / 2 - ROUNDING)
    covered = np.minimum(width / 2 - np.abs(np.arange(-radius, radius + 1)) + 0.5, 1.0)
    profile: Array = covered / covered.sum()
    return profile


def ball(grid: Grid, radius: Length) -> Kernel:
    """Return the mean over the voxels whose centres are within a radius; with three radii, over an ellipsoid.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("ball:radius=2mm").kernel(Grid("xyz", (1.0, 2.0, 3.0))).values[0, :, :, 0].round(3).tolist()
    [[0.0, 0.143, 0.0], [0.0, 0.143, 0.0], [0.143, 0.143, 0.143], [0.0, 0.143, 0.0], [0.0, 0.143, 0.0]]
    """
    radii = np.array(grid.voxels(radius, "ball: radius"))
    cosines = grid.angles(radius.physical)
    # Distances are sqrt(i^T G i); the ellipsoid i^T P i <= 1 reaches sqrt((P^-1)_aa) along axis a.
    precision = cosines / np.outer(radii, radii)
    reach = np.sqrt(np.diag(np.linalg.inv(precision)))
    check_size("ball", reach.tolist())
    at = offsets([floor(r + ROUNDING) for r in reach])
    inside = ((at @ precision) * at).sum(axis=-1) <= 1 + ROUNDING
    return Kernel((inside / np.count_nonzero(inside))[np.newaxis])
