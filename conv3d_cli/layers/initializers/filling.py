"""The arrays that initializers make: functions of a shape, a dtype and a seed, with Keras's own formulas.

A seed makes here the numbers that it makes in Keras (see ``philox``). The formulas are those of ``VarianceScaling``,
after Glorot and Bengio (2010), He et al. (2015), LeCun et al. (1998), and of ``Orthogonal``, after Saxe et al. (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any, TypeAlias

import numpy as np

from conv3d_cli.errors import ShapeError
from conv3d_cli.layers.initializers.philox import Floats, Stream

Shape: TypeAlias = tuple[int, ...]
Axes: TypeAlias = Sequence[int] | None

TRUNCATED_SIGMA = 0.87962566103423978
"""Standard deviation of a standard normal variable that lies between -2 and 2."""


def filled(shape: Shape, dtype: str, value: Any) -> Floats:
    """Return a number everywhere, or an array with as many numbers as the shape has, as Keras 2 does."""
    numbers = np.asarray(value, dtype)
    if numbers.size not in (1, prod(shape)):
        raise ShapeError(
            f"Constant: value: wrong number of values: got {numbers.size}, expected 1 or {prod(shape)} for {shape}"
        )
    return np.full(shape, numbers.reshape(())) if numbers.size == 1 else numbers.reshape(shape).copy()


def spread_out(shape: Shape, dtype: str, value: Any) -> Floats:
    """Return an array repeated along the axes that it lacks or has of size 1, as Keras 3 does."""
    if isinstance(value, Mapping):
        value = value["config"]["value"]
    numbers = np.asarray(value, dtype)
    try:
        return np.broadcast_to(numbers, shape).copy()
    except ValueError:
        raise ShapeError(
            f"Constant: value: wrong shape: got {numbers.shape}, expected one that repeats to {shape}"
        ) from None


def uniform(shape: Shape, dtype: str, seed: int, minval: float, maxval: float, limits: str | None = None) -> Floats:
    """Return numbers evenly spread from ``minval`` to below ``maxval``, which are rounded to the type ``limits``.

    That is ``dtype`` by default, as in Keras 2; Keras 3 rounds them to float32 for any dtype.
    """
    low, high = np.array([minval, maxval], limits or dtype).astype(dtype)
    return _moved(Stream(seed).uniform(prod(shape), dtype), high - low, low).reshape(shape)


def normal(shape: Shape, dtype: str, seed: int, mean: float, stddev: float) -> Floats:
    """Return normally distributed numbers."""
    drawn = Stream(seed).normal(prod(shape), dtype)
    return _moved(drawn, stddev, mean).reshape(shape)


def truncated_normal(shape: Shape, dtype: str, seed: int, mean: float, stddev: float) -> Floats:
    """Return normally distributed numbers, those beyond two standard deviations drawn again."""
    drawn = Stream(seed).truncated_normal(prod(shape), dtype)
    return _moved(drawn, stddev, mean).reshape(shape)


def variance_scaling(
    shape: Shape,
    dtype: str,
    seed: int,
    scale: float,
    mode: str,
    distribution: str,
    input_axes: Axes = None,
    output_axes: Axes = None,
    limits: str | None = None,
) -> Floats:
    """Return numbers of variance ``scale`` over the connections in, out, or their mean; see ``uniform``."""
    variance = scale / max(1.0, FANS[mode](*fans(shape, input_axes, output_axes)))
    if distribution == "uniform":
        limit = sqrt(3.0 * variance)
        return uniform(shape, dtype, seed, -limit, limit, limits)
    draw, sigma = NORMAL[distribution]
    return draw(shape, dtype, seed, 0.0, sqrt(variance) / sigma)


def orthogonal(shape: Shape, dtype: str, seed: int, gain: float) -> Floats:
    """Return ``gain`` times orthonormal rows or columns of a matrix (all axes but the last, the last).

    The factorization is done in place and in float64, so that beside the result only one such matrix exists.
    """
    from scipy.linalg import lapack

    rows, columns = prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    if not min(tall):
        return np.empty(shape, dtype)
    matrix = Stream(seed).normal(prod(tall), dtype).reshape(tall).astype(np.float64, order="F")
    work = int(lapack.dgeqrf_lwork(*tall)[0])
    reflectors, tau, _, _ = lapack.dgeqrf(matrix, lwork=work, overwrite_a=1)
    signs = np.sign(np.diag(reflectors))
    q, _, _ = lapack.dorgqr(reflectors, tau, lwork=work, overwrite_a=1)
    q *= signs * gain
    result: Floats = (q.T if rows < columns else q).astype(dtype, order="C").reshape(shape)
    return result


def identity(shape: Shape, dtype: str, gain: float) -> Floats:
    """Return ``gain`` on the diagonal of a matrix."""
    diagonal: Floats = np.eye(shape[0], shape[1], dtype=dtype)
    diagonal *= diagonal.dtype.type(gain)
    return diagonal


def fans(shape: Shape, input_axes: Axes = None, output_axes: Axes = None) -> tuple[int, int]:
    """Return the inputs of an output and the outputs of an input of a kernel ``(*taps, channels, filters)``.

    With both lists of axes, Keras 3's, they are the products of the sizes of those.

    >>> fans((3, 3, 3, 2, 8))
    (54, 216)
    """
    if input_axes is not None and output_axes is not None:
        return prod(shape[axis] for axis in input_axes), prod(shape[axis] for axis in output_axes)
    if len(shape) < 2:
        return prod(shape), prod(shape)
    taps = prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _moved(numbers: Floats, factor: float, offset: float) -> Floats:
    """Return ``numbers * factor + offset`` in their own memory, each step rounded to their type."""
    numbers *= numbers.dtype.type(factor)
    numbers += numbers.dtype.type(offset)
    return numbers


FANS: Mapping[str, Callable[[int, int], float]] = {
    "fan_in": lambda into, out: into,
    "fan_out": lambda into, out: out,
    "fan_avg": lambda into, out: (into + out) / 2.0,
}

NORMAL: Mapping[str, tuple[Callable[[Shape, str, int, float, float], Floats], float]] = {
    "truncated_normal": (truncated_normal, TRUNCATED_SIGMA),
    "untruncated_normal": (normal, 1.0),
}
"""The normal distributions: how they are drawn, and their standard deviation before they are scaled."""

DISTRIBUTIONS = (*NORMAL, "uniform")
