"""What a convolution's outputs must be, by its definition in float64, at voxels chosen by chance."""

from __future__ import annotations

from itertools import product

import numpy as np

from conv3d_cli.bench.cases import Case
from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import Triple

SAMPLES = 150


@frozen
class Truth:
    """Outputs at some places: ``at`` holds an index array for each axis of (N, F, D', H', W').

    ``inside`` tells which outputs see nothing but voxels of the volume.
    """

    shape: tuple[int, ...]
    at: tuple[Array, ...]
    values: Array
    inside: Array

    def error(self, result: Array, edges: bool = True) -> float:
        """Return the largest error of a result, as a share of the largest output; infinity where it holds a NaN.

        Without ``edges`` only outputs that see no border are looked at. Raises ValueError for another shape, or where
        there is nothing to look at.
        """
        if result.shape != self.shape:
            raise ValueError(f"shape {result.shape}, expected {self.shape}")
        chosen = np.ones_like(self.inside) if edges else self.inside
        if not chosen.any():
            raise ValueError("cannot be checked: the kernel reaches beyond the volume everywhere")
        got = result[tuple(index[chosen] for index in self.at)].astype(np.float64)
        if not np.isfinite(got).all():
            return float("inf")
        worst = np.abs(got - self.values[chosen]).max(initial=0.0)
        return float(worst / np.abs(self.values).max())


def truth_of(case: Case, x: Array, kernel: Array) -> Truth:
    """Return the outputs of ``x`` (N, C, D, H, W) and ``kernel`` at the corners, in the middle and at random places.

    >>> case = Case(1, 1, (4, 4, 4), (3, 3, 3))
    >>> x, kernel = case.arrays()
    >>> truth_of(case, x, kernel).error(np.zeros((1, 1, 4, 4, 4)))
    1.0
    """
    shape = case.problem.output_shape
    rng = np.random.default_rng(1)
    corners = list(product((0,), (0, shape[1] - 1), *((0, n - 1) for n in shape[2:])))
    middle = (0, 0, *(n // 2 for n in shape[2:]))
    places = [*corners, middle, *(tuple(int(rng.integers(n)) for n in shape) for _ in range(SAMPLES))]
    found = [_output(case, x, kernel, place[1], (place[2], place[3], place[4])) for place in places]
    at = tuple(np.array(indices) for indices in zip(*places, strict=True))
    return Truth(shape, at, np.array([value for value, _ in found]), np.array([inside for _, inside in found]))


def _output(case: Case, x: Array, kernel: Array, filter_: int, place: Triple) -> tuple[float, bool]:
    """Return one output, and whether its window lies inside the volume."""
    problem = case.problem
    group = filter_ // (case.filters // case.groups)
    channels = case.channels // case.groups
    taps = [
        o * case.stride - before + np.arange(k) * case.dilation
        for o, (before, _), k in zip(place, problem.padding, case.kernel, strict=True)
    ]
    there = [(t >= 0) & (t < n) for t, n in zip(taps, case.size, strict=True)]
    window = np.ix_(
        np.arange(group * channels, (group + 1) * channels), *(t[i] for t, i in zip(taps, there, strict=True))
    )
    values = x[0][window].astype(np.float64)
    weights = np.moveaxis(kernel[..., filter_][np.ix_(*there)], -1, 0).astype(np.float64)
    return float((values * weights).sum()), all(bool(i.all()) for i in there)
