"""A Gaussian on the voxels of a volume, and its derivatives.

Weights are samples, as in scipy.ndimage, of exp(-x^2 / 2 sigma^2) over their own sum; a derivative multiplies them by
the polynomial of Hermite. A kernel is cut where ``truncate`` says, in sigmas, or else where less than 1e-4 of its
magnitude is lost. With lengths of the world on a sheared volume the Gaussian is that of the world: exp(-i^T P i / 2)
of the voxel offset i, with P = S^-1 C S^-1, of the sigmas in voxels S and the cosines of the axes' angles C.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, log, prod, sqrt
from typing import TypeAlias

import numpy as np

from conv3d_cli.errors import LayerError
from conv3d_cli.filters.grid import Grid, Matrix
from conv3d_cli.filters.kernel import Array, check_size, in_frame, offsets, outer
from conv3d_cli.lengths import VOXELS, Length

Orders: TypeAlias = tuple[int, int, int]

FWHM = sqrt(8 * log(2))
"""Full width at half maximum of a Gaussian, in sigmas."""

MOST_LOST = 1e-4
"""Share of a kernel's magnitude that may be cut off where nothing says how wide it is to be."""

WHOLE = 14.0
"""Sigmas beyond which nothing is left of a Gaussian in float64, nor of its derivatives."""

PAIRS = tuple((a, b) for a in range(3) for b in range(a, 3))


class Gaussian:
    """A Gaussian on a grid, cut for derivatives of up to some orders; it makes them all with one size.

    ``sigma`` is in voxels along the layer's dimensions, ``steps`` is the voxel's size in the unit of the length that
    was given, 1 for voxels, and ``per`` that unit.
    """

    def __init__(
        self,
        grid: Grid,
        name: str,
        sigma: Length | None,
        fwhm: Length | None,
        truncate: float | None,
        orders: Sequence[Orders],
    ) -> None:
        length, word, sigmas = _given(name, sigma, fwhm)
        a, b, c = (width / sigmas for width in grid.voxels(length, f"{name}: {word}"))
        self.sigma = (a, b, c)
        self.per = length.physical or VOXELS
        self.steps = (1.0, 1.0, 1.0)
        if length.physical is not None:
            self.steps = grid.spacing_in(length.physical, f"{name}: {word}", length)
        self.cosines = grid.angles(length.physical)
        self.sheared = not np.array_equal(self.cosines, np.eye(3))
        for i, width in enumerate(self.sigma):
            if width == 0 and any(order[i] for order in orders):
                raise LayerError(f"{name}: {word}: 0 along an axis with a derivative: got {length}, expected more")
        if self.sheared and min(self.sigma) == 0:
            raise LayerError(f"{name}: {word}: 0 along an axis of a sheared volume: got {length}, expected more")
        check_size(name, self.sigma)
        self.precision = self._precision()
        marginal = np.sqrt(np.diag(np.linalg.inv(self.precision))) if self.sheared else self.sigma
        cuts = [[_cut(float(s), order[i], truncate) for order in orders] for i, s in enumerate(marginal)]
        self.radii = tuple(max(radius for radius, _ in cut) for cut in cuts)
        check_size(name, self.radii)
        kept = [_lost(float(s), max(o[i] for o in orders), self.radii[i]) for i, s in enumerate(marginal)]
        self.lost = 1 - prod(1 - share for share in kept)

    def _precision(self) -> Matrix:
        inverse = np.array([1 / s if s else 0.0 for s in self.sigma])
        precision: Matrix = inverse[:, None] * self.cosines * inverse
        return precision

    def derivative(self, orders: Orders) -> Array:
        """Return the kernel of a derivative per voxel along the layer's dimensions; (0, 0, 0) smooths."""
        if not self.sheared:
            return outer([profile(s, o, r) for s, o, r in zip(self.sigma, orders, self.radii, strict=True)])
        at = offsets(self.radii)
        slope = at @ self.precision
        weights: Array = np.exp(-0.5 * (at * slope).sum(axis=-1))
        weights /= weights.sum()
        axes = [axis for axis, order in enumerate(orders) for _ in range(order)]
        if len(axes) > 2:
            raise LayerError(f"gaussian: order: above 2 on a sheared volume: got {orders}, expected a sum of at most 2")
        if len(axes) == 2:
            a, b = axes
            weights *= slope[..., a] * slope[..., b] - self.precision[a, b]
        elif axes:
            weights *= slope[..., axes[0]]
        return weights

    def gradient(self) -> list[Array]:
        """Return the derivatives along three directions of the world, for the layer's dimensions."""
        return in_frame([self.derivative(_order(axis)) for axis in range(3)], self.steps, self.cosines)

    def hessian(self) -> dict[tuple[int, int], Array]:
        """Return the second derivatives for each pair of the layer's dimensions, along the gradient's directions."""
        seconds = {pair: self.derivative(_order(*pair)) for pair in PAIRS}
        rows = [in_frame([seconds[min(a, b), max(a, b)] for b in range(3)], self.steps, self.cosines) for a in range(3)]
        columns = [in_frame([rows[a][b] for a in range(3)], self.steps, self.cosines) for b in range(3)]
        return {(a, b): columns[b][a] for a, b in PAIRS}


def profile(sigma: float, order: int, radius: int) -> Array:
    """Return the weights of a derivative of a Gaussian along one axis, as scipy.ndimage's ``gaussian_filter1d`` has.

    >>> profile(1.0, 1, 2).round(3).tolist()
    [-0.109, -0.244, 0.0, 0.244, 0.109]
    """
    if sigma == 0:
        return np.ones(1)
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    weights: Array = np.exp(-0.5 * (x / sigma) ** 2)
    weights /= weights.sum()
    # d/dx (q e^(-x^2/2s^2)) = (q' - q x/s^2) e^(...), from q = 1 on; coefficients from the lowest power.
    q = np.zeros(order + 1)
    q[0] = 1.0
    for _ in range(order):
        q = np.append(q[1:] * np.arange(1, order + 1), 0.0) - np.append(0.0, q[:-1]) / sigma**2
    weights *= np.polyval(q[::-1], x)
    # The weight of f(x+i) is the derivative at -i.
    return np.ascontiguousarray(weights[::-1])


def _given(name: str, sigma: Length | None, fwhm: Length | None) -> tuple[Length, str, float]:
    """Return the width that was given, by what name, and how many sigmas it is."""
    if sigma is not None and fwhm is None:
        return sigma, "sigma", 1.0
    if fwhm is not None and sigma is None:
        return fwhm, "fwhm", FWHM
    got = "neither" if sigma is None else "both"
    raise LayerError(f"{name}: needs a width: got {got}, expected sigma or fwhm, such as fwhm=6mm")


def _cut(sigma: float, order: int, truncate: float | None) -> tuple[int, float]:
    """Return the radius of a profile, and the share of its magnitude that is lost."""
    if sigma == 0:
        return 0, 0.0
    if truncate is not None:
        radius = int(truncate * sigma + 0.5)
        return radius, _lost(sigma, order, radius)
    tails = _tails(sigma, order)
    radius = int(np.argmax(tails < MOST_LOST / 3))
    return radius, float(tails[radius])


def _lost(sigma: float, order: int, radius: int) -> float:
    tails = _tails(sigma, order)
    return float(tails[min(radius, len(tails) - 1)])


@lru_cache(maxsize=64)
def _tails(sigma: float, order: int) -> Array:
    """Return, for each radius, the share of a profile's magnitude that lies beyond it; not to be written to."""
    if sigma == 0:
        return np.zeros(1)
    size = np.abs(profile(sigma, order, ceil(WHOLE * sigma) + 1))
    half = size[len(size) // 2 :]
    beyond = 2 * np.append(np.cumsum(half[::-1])[::-1][1:], 0.0)
    tails: Array = beyond / size.sum()
    return tails


def _order(*axes: int) -> Orders:
    a, b, c = (axes.count(axis) for axis in range(3))
    return a, b, c


SMOOTH = (0, 0, 0)
FIRST = tuple(_order(axis) for axis in range(3))
SECOND = tuple(_order(a, b) for a, b in PAIRS)
