"""Small random problems with their arrays, each from one number: what the fuzz gives to the engine."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from storages import STORAGE

from conv3d_cli.engine import Problem
from conv3d_cli.engine.boundary import MODES, Boundary

MOST_TAPS = 700
MOST_PRODUCTS = 1_500_000
MOST_PAIRS = 100
AMOUNTS = (1, 1, 1, 2, 3, 4, 4, 4, 5, 6, 8, 8, 9, 16, 17, 33)
"""Channels or filters of a group: around the widths of vectors and register tiles."""


def inside_a_larger_array(shape, dtype):
    """Return a view that begins and ends within its memory, at an odd offset."""
    return np.full([n + 3 for n in shape], np.nan, dtype)[tuple(slice(1, n + 1) for n in shape)]


STORAGES = {**STORAGE, "inside_a_larger_array": inside_a_larger_array}


@dataclass(frozen=True)
class Case:
    """A problem, its arrays, where its output goes, and the kinds that the values were drawn from."""

    problem: Problem
    x: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray | None
    target: str
    kinds: str

    @property
    def hostile(self) -> bool:
        """Whether a transform may refuse the values."""
        return any(kind in self.kinds for kind in ("non-finite", "huge"))


def _box(rng, shape):
    return np.full(shape, float(rng.normal()))


def _outer(rng, shape):
    lines = [rng.standard_normal((n, *shape[3:])) for n in shape[:3]]
    return np.einsum("icf,jcf,kcf->ijkcf", *lines)


def _gaussian(rng, shape):
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / rng.uniform(0.5, 3)) ** 2) for n in shape[:3]]
    kernel = np.einsum("i,j,k->ijk", *(line / line.sum() for line in lines))
    return np.broadcast_to(kernel[..., None, None], shape)


def _mirrored(rng, shape, sign=1):
    kernel = rng.standard_normal(shape)
    for axis in range(3):
        if axis == 0 or rng.random() < 0.7:
            kernel = kernel + sign * np.flip(kernel, axis)
            sign = 1
    return kernel


def _sparse(rng, shape):
    return rng.standard_normal(shape) * (rng.random((*shape[:3], 1, 1)) < rng.choice([0.1, 0.4]))


def _one_tap(rng, shape):
    kernel = np.zeros(shape)
    kernel[tuple(int(rng.integers(n)) for n in shape[:3])] = rng.standard_normal(shape[3:])
    return kernel


def _cross(rng, shape):
    """Return taps on the axes through the middle only, as a discrete Laplacian has them."""
    kernel = rng.standard_normal(shape)
    away = sum(
        (g != n // 2).astype(int) for g, n in zip(np.ogrid[tuple(map(slice, shape[:3]))], shape[:3], strict=True)
    )
    return kernel * (away < 2)[..., None, None]


def _normal(rng, shape):
    return rng.standard_normal(shape)


def _positive(rng, shape):
    return rng.uniform(0.1, 1, shape)


def _integers(rng, shape):
    return rng.integers(-4, 5, shape).astype(float)


def _bright(rng, shape):
    values = rng.standard_normal(shape)
    values[tuple(int(rng.integers(n)) for n in shape)] = 1e6
    return values


def _non_finite(rng, shape):
    values = rng.standard_normal(shape)
    for _ in range(int(rng.integers(1, 4))):
        values[tuple(int(rng.integers(n)) for n in shape)] = rng.choice([np.nan, np.inf, -np.inf])
    return values


KERNELS = {
    "normal": _normal,
    "positive": _positive,
    "integers": _integers,
    "box": _box,
    "outer": _outer,
    "two terms": lambda rng, shape: _outer(rng, shape) + _outer(rng, shape),
    "gaussian": _gaussian,
    "symmetric": _mirrored,
    "antisymmetric": lambda rng, shape: _mirrored(rng, shape, -1),
    "sparse": _sparse,
    "cross": _cross,
    "one tap": _one_tap,
    "zero": lambda rng, shape: np.zeros(shape),
}

VALUES = {
    "normal": _normal,
    "positive": _positive,
    "integers": _integers,
    "constant": _box,
    "ramp": lambda rng, shape: 1000.0 + np.arange(prod(shape)).reshape(shape) % 97,
    "bright": _bright,
    "huge": lambda rng, shape: 1e30 * _normal(rng, shape),
    "tiny": lambda rng, shape: 1e-30 * _normal(rng, shape),
    "non-finite": _non_finite,
    "zero": lambda rng, shape: np.zeros(shape),
}


def _skewed(rng, most: int, power: float) -> int:
    return 1 + int(most * rng.random() ** power)


def _spread(rng, most: int) -> tuple[int, int, int]:
    """Return strides or dilations: mostly 1, some alike along all axes."""
    kind = rng.random()
    if kind < 0.65:
        return (1, 1, 1)
    if kind < 0.78:
        return (int(rng.integers(2, most)),) * 3
    d, h, w = (int(n) for n in rng.integers(1, most, 3))
    return d, h, w


def _kernel(rng) -> list[int]:
    kind = rng.random()
    if kind < 0.08:
        return [1, 1, 1]
    if kind < 0.45:
        return [int(rng.choice([2, 3, 3, 3, 4, 5, 5, 7, 8]))] * 3
    if kind < 0.65:
        return [int(n) for n in rng.integers(1, 6, 3)]
    kernel = [_skewed(rng, 17, 3) for _ in range(3)]
    while prod(kernel) > MOST_TAPS:
        kernel[int(np.argmax(kernel))] //= 2
    return kernel


def _amounts(rng, groups: int) -> tuple[int, int]:
    channels, filters = (int(n) for n in rng.choice(AMOUNTS, 2))
    while channels * filters * groups > MOST_PAIRS:
        channels, filters = (channels, filters // 2) if filters > channels else (channels // 2, filters)
    return groups * channels, groups * filters


def _boundary(rng) -> Boundary:
    """Return what lies around the volume: zeros more often than not."""
    mode = str(rng.choice([*MODES, *["constant"] * len(MODES)]))
    value = float(rng.normal()) if mode == "constant" and rng.random() < 0.15 else 0.0
    return Boundary(mode, value)


def random_problem(rng) -> Problem:
    """Return a problem of which every method may serve many, and no method all."""
    kernel, strides, dilation = _kernel(rng), _spread(rng, 5), _spread(rng, 4)
    padding = [tuple(int(n) for n in rng.integers(0, k + 1, 2)) if rng.random() < 0.6 else (0, 0) for k in kernel]
    if rng.random() < 0.5 or max(kernel) == 1:
        padding = [(k // 2, k // 2) for k in kernel]
    size = [_skewed(rng, 40, 2.5) for _ in range(3)]
    if rng.random() < 0.97:  # else the output may well be empty
        extents = [(k - 1) * d + 1 - sum(p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
        size = [max(n, least) for n, least in zip(size, extents, strict=True)]
    groups = int(rng.choice([1, 1, 1, 1, 2, 3, 8]))
    channels, filters = _amounts(rng, groups)
    problem = Problem(
        size=tuple(size),
        kernel=tuple(kernel),
        strides=strides,
        dilation=dilation,
        padding=tuple(padding),
        batch=int(rng.choice([1, 1, 2, 3])),
        channels=channels,
        filters=filters,
        groups=groups,
        dtype=str(rng.choice(["float32", "float32", "float64"])),
        order=tuple(int(n) for n in rng.permutation(3)) if rng.random() < 0.4 else (0, 1, 2),
        boundary=_boundary(rng),
    )
    return problem if problem.multiply_adds <= MOST_PRODUCTS else random_problem(rng)


def random_case(seed: int) -> Case:
    """Return the case of a number, always the same one."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    kernel_kind = str(rng.choice([*KERNELS, "normal", "normal"]))
    value_kind = str(rng.choice([*VALUES, "normal", "normal", "normal"]))
    source, target = (str(name) for name in rng.choice([*STORAGES, "planar"], 2))
    kernel = KERNELS[kernel_kind](rng, problem.kernel_shape).astype(problem.dtype)
    if rng.random() < 0.2:
        kernel = np.asfortranarray(kernel)
    x = STORAGES[source](problem.input_shape, problem.dtype)
    x[...] = VALUES[value_kind](rng, x.shape)
    bias = None
    if rng.random() < 0.5:
        level = float(np.abs(x[np.isfinite(x)]).max(initial=1e-30))
        bias = (level * rng.standard_normal(2 * problem.filters)).astype(problem.dtype)[:: int(rng.choice([1, 2]))]
        bias = bias[: problem.filters]
    return Case(problem, x, kernel, bias, target, f"{kernel_kind} kernel, {value_kind} values, {source} to {target}")
