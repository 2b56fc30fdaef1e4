"""The filters that are made of Gaussians."""

from __future__ import annotations

from math import pi, prod

import numpy as np

from conv3d_cli.errors import LayerError
from conv3d_cli.filters.gaussian import FIRST, PAIRS, SECOND, SMOOTH, Gaussian, Orders
from conv3d_cli.filters.grid import Grid
from conv3d_cli.filters.kernel import Array, Kernel, by_letter, centred, offsets
from conv3d_cli.lengths import Length


def gaussian(grid: Grid, sigma: Length | None, fwhm: Length | None, order: Orders, truncate: float | None) -> Kernel:
    """Return a Gaussian of sum 1, or its derivative of an order along x, y and z, per unit of the width.

    >>> from conv3d_cli.filters.filter import Filter
    >>> kernel = Filter.parse("gaussian:fwhm=6mm").kernel(Grid("xyz", (1.0, 1.0, 3.0)))
    >>> kernel.size, round(float(kernel.values.sum()), 12), kernel.lost < 1e-4
    ((23, 23, 7), 1.0, True)
    """
    along = grid.along(order)
    made = Gaussian(grid, "gaussian", sigma, fwhm, truncate, [along])
    scale = prod(step**o for step, o in zip(made.steps, along, strict=True))
    return _kernel(made, [made.derivative(along) / scale], sum(order))


def laplacian_of_gaussian(grid: Grid, sigma: Length | None, fwhm: Length | None, truncate: float | None) -> Kernel:
    """Return the sum of the second derivatives of a Gaussian.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("log:sigma=1vox").kernel(Grid()).size
    (11, 11, 11)
    """
    made = Gaussian(grid, "log", sigma, fwhm, truncate, SECOND)
    second = made.hessian()
    return _kernel(made, [second[0, 0] + second[1, 1] + second[2, 2]], 2)


def difference_of_gaussians(grid: Grid, low: Length, high: Length | None, truncate: float | None) -> Kernel:
    """Return a narrow Gaussian less a wide one, which is 1.6 times as wide unless it is given.

    >>> from conv3d_cli.filters.filter import Filter
    >>> abs(float(Filter.parse("dog:low=1mm,high=2mm").kernel(Grid("xyz", (1.0, 2.0, 3.0))).values.sum())) < 1e-12
    True
    """
    wide = Gaussian(grid, "dog", low.scaled(1.6) if high is None else high, None, truncate, [SMOOTH])
    narrow = Gaussian(grid, "dog", low, None, truncate, [SMOOTH])
    radii = [max(a, b) for a, b in zip(narrow.radii, wide.radii, strict=True)]
    values = centred(narrow.derivative(SMOOTH), radii) - centred(wide.derivative(SMOOTH), radii)
    return Kernel(values[np.newaxis], lost=max(narrow.lost, wide.lost))


def unsharp(grid: Grid, sigma: Length | None, fwhm: Length | None, amount: float, truncate: float | None) -> Kernel:
    """Return what adds ``amount`` times the difference between a volume and its smoothed self: (1+a) delta - a G.

    >>> from conv3d_cli.filters.filter import Filter
    >>> round(float(Filter.parse("unsharp:sigma=1vox,amount=2").kernel(Grid()).values.sum()), 12)
    1.0
    """
    made = Gaussian(grid, "unsharp", sigma, fwhm, truncate, [SMOOTH])
    values = -amount * made.derivative(SMOOTH)
    values[tuple(made.radii)] += 1 + amount
    return _kernel(made, [values], 0)


def hessian(grid: Grid, sigma: Length | None, fwhm: Length | None, component: str, truncate: float | None) -> Kernel:
    """Return the second derivatives of a Gaussian: one of xx, xy, xz, yy, yz, zz, or all six as channels.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("hessian:sigma=2mm").kernel(Grid("xyz", (1.0, 1.0, 2.0))).parts
    ('xx', 'xy', 'xz', 'yy', 'yz', 'zz')
    """
    made = Gaussian(grid, "hessian", sigma, fwhm, truncate, SECOND)
    seconds = made.hessian()
    found = {}
    for a, b in PAIRS:
        first, second = sorted((grid.axes.index("xyz"[a]), grid.axes.index("xyz"[b])))
        found["xyz"[a] + "xyz"[b]] = seconds[first, second]
    parts = tuple(found) if component == "all" else (component,)
    return _kernel(made, [found[part] for part in parts], 2, parts)


def gaussian_gradient(
    grid: Grid, sigma: Length | None, fwhm: Length | None, axis: str, truncate: float | None
) -> Kernel:
    """Return the first derivatives of a Gaussian along x, y and z, or one of them."""
    made = Gaussian(grid, "gradient", sigma, fwhm, truncate, FIRST)
    found = dict(zip("xyz", by_letter(made.gradient(), grid.axes), strict=True))
    parts = ("x", "y", "z") if axis not in found else (axis,)
    return _kernel(made, [found[part] for part in parts], 1, parts)


def gabor(
    grid: Grid,
    sigma: Length | None,
    fwhm: Length | None,
    wavelength: Length,
    direction: tuple[float, float, float],
    phase: float,
    truncate: float | None,
) -> Kernel:
    """Return a Gaussian times a cosine wave: G(i) cos(2 pi d.i / wavelength + phase), with the phase in degrees.

    >>> from conv3d_cli.filters.filter import Filter
    >>> Filter.parse("gabor:sigma=4mm,wavelength=8mm,direction=0x0x1").kernel(Grid("xyz", (2.0, 2.0, 4.0))).size
    (17, 17, 9)
    """
    made = Gaussian(grid, "gabor", sigma, fwhm, truncate, [SMOOTH])
    if len(set(zip(wavelength.values, wavelength.units, strict=True))) > 1:
        raise LayerError(f"gabor: wavelength: got {wavelength}, expected one length; direction says along which axes")
    length = grid.voxels(wavelength, "gabor: wavelength")
    values, vectors = np.linalg.eigh(made.cosines)
    frame = vectors @ np.diag(values**0.5) @ vectors.T if made.sheared else np.eye(3)
    unit = np.array(grid.along(direction)) / np.linalg.norm(direction)
    # An offset of i voxels is i / length wavelengths along its own axis.
    waves = (offsets(made.radii) / length) @ frame @ unit
    return _kernel(made, [made.derivative(SMOOTH) * np.cos(2 * pi * waves + np.deg2rad(phase))], 0)


def _kernel(made: Gaussian, kernels: list[Array], order: int, parts: tuple[str, ...] = ("",)) -> Kernel:
    per = "1" if order == 0 else made.per if order == 1 else f"{made.per}^{order}"
    return Kernel(np.stack(kernels), parts, made.lost, per)
