"""Differences of neighbouring voxels, with scipy.ndimage's weights where it has the filter.

Their results are per voxel, as scipy's are, unless ``per`` names a unit of the world: then each difference is divided
by the spacing along its axis. A filter that joins several axes has to be told which on a volume whose voxels are
longer along one of them, since the two answers differ in more than a factor.
"""

from __future__ import annotations

import numpy as np

from conv3d_cli.errors import LayerError
from conv3d_cli.filters.gaussians import gaussian_gradient
from conv3d_cli.filters.grid import Grid, Matrix, Triple
from conv3d_cli.filters.kernel import Array, Kernel, by_letter, in_frame, outer
from conv3d_cli.lengths import VOXELS, Length

STEP = np.array([-1.0, 0.0, 1.0])
CURVE = np.array([1.0, -2.0, 1.0])
ONE = np.array([0.0, 1.0, 0.0])
SMOOTHING = {
    "sobel": np.array([1.0, 2.0, 1.0]),
    "prewitt": np.array([1.0, 1.0, 1.0]),
    "scharr": np.array([3.0, 10.0, 3.0]),
}


def edges(grid: Grid, name: str, axis: str, per: str | None) -> Kernel:
    """Return the difference across a voxel along an axis, smoothed along the others by the filter's weights.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("sobel:axis=z").kernel(Grid("xyz")).values[0, 1, 1].tolist()
    [-4.0, 0.0, 4.0]
    """
    smooth = SMOOTHING[name]
    plain = [outer([STEP if i == along else smooth for i in range(3)]) for along in range(3)]
    return _along(grid, name, plain, axis, per)


def gradient(
    grid: Grid,
    sigma: Length | None,
    fwhm: Length | None,
    axis: str,
    per: str | None,
    truncate: float | None,
) -> Kernel:
    """Return central differences (f(x+1) - f(x-1)) / 2, or with a width the derivatives of a Gaussian.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("gradient:axis=x,per=mm").kernel(Grid("xyz", (2.0, 1.0, 1.0))).values.ravel().tolist()
    [-0.25, 0.0, 0.25]
    """
    if sigma is not None or fwhm is not None:
        if per is not None:
            raise LayerError(f"gradient: per: got {per} beside a width, whose unit it is per, expected none")
        return gaussian_gradient(grid, sigma, fwhm, axis, truncate)
    plain = [outer([STEP / 2 if i == along else ONE for i in range(3)]) for along in range(3)]
    return _along(grid, "gradient", plain, axis, per)


def laplacian(grid: Grid, per: str | None) -> Kernel:
    """Return the sum of the second differences f(x+1) - 2 f(x) + f(x-1) along the axes.

    >>> from conv3d_cli.filters.filter import Filter
    >>> float(Filter.parse("laplacian").kernel(Grid()).values[0, 1, 1, 1])
    -6.0
    """
    steps, cosines, unit = _steps(grid, "laplacian", per, joins=True)
    # The Laplacian of the world is the trace of G^-1 times the second differences, G = S C S of steps and cosines.
    inverse = np.linalg.inv(np.diag(steps) @ cosines @ np.diag(steps))
    values = np.zeros((3, 3, 3))
    for a in range(3):
        values += inverse[a, a] * outer([CURVE if i == a else ONE for i in range(3)])
        for b in range(a):
            values += 2 * inverse[a, b] * outer([STEP / 2 if i in (a, b) else ONE for i in range(3)])
    return Kernel(values[np.newaxis], per=f"{unit}^2")


def _along(grid: Grid, name: str, plain: list[Array], axis: str, per: str | None) -> Kernel:
    joins = axis == "magnitude"
    steps, cosines, unit = _steps(grid, name, per, joins)
    found = dict(zip("xyz", by_letter(in_frame(plain, steps, cosines), grid.axes), strict=True))
    parts = (axis,) if axis in found else ("x", "y", "z")
    return Kernel(np.stack([_trimmed(found[part], len(parts) == 1) for part in parts]), parts, per=unit)


def _trimmed(values: Array, alone: bool) -> Array:
    """Return a kernel without planes of zeros around it, if it need not have the size of others."""
    if alone:
        for axis in range(3):
            planes = np.moveaxis(values, axis, 0)
            if not planes[0].any() and not planes[-1].any():
                values = np.moveaxis(planes[1:-1], 0, axis)
    return values


def _steps(grid: Grid, name: str, per: str | None, joins: bool) -> tuple[Triple, Matrix, str]:
    """Return the size of a voxel in the unit that results are per, the angles that then count, and that unit."""
    if per is None and joins and grid.anisotropic:
        unit = "mm" if grid.unit == "unknown" else grid.unit
        raise LayerError(
            f"{name}: per: not given, and axes of different spacing are joined: got voxels of {grid.words}, "
            f"expected per={unit} to divide by the spacing, or per={VOXELS}"
        )
    if per in (None, VOXELS):
        return (1.0, 1.0, 1.0), np.eye(3), VOXELS
    return grid.spacing_in(str(per), f"{name}: per", per), grid.angles(per), str(per)
