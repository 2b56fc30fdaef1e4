"""The activations that mix values along an axis, each ``(x, out, axis)``.

The formulas are those of Keras, and for sparsemax that of its paper; a NaN makes all values along its axis NaN. Every
function writes to ``out``, which may be x itself, except in ``glu``, whose result is half as large.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.layers.activations.smooth import sigmoid

Array: TypeAlias = NDArray[Any]
Axes: TypeAlias = int | tuple[int, ...]


def softmax(x: Array, out: Array, axis: Axes = -1) -> None:
    """Write ``e^x`` over its sum along an axis; the maximum is subtracted, so that nothing overflows."""
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)


def log_softmax(x: Array, out: Array, axis: int = -1) -> None:
    """Write the logarithm of the softmax along an axis, which stays exact where the softmax is 0."""
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))


def sparsemax(x: Array, out: Array, axis: int = -1) -> None:
    """Write the point nearest to x among those that are not negative and have sum 1, along an axis.

    Martins and Astudillo (2016), algorithm 1: the largest values less a number that makes the sum 1, the others 0.
    The largest value of all is subtracted first, so that nothing overflows that is not 0 in the end.
    """
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    ordered = np.moveaxis(np.flip(np.sort(out, axis=axis), axis), axis, -1)
    sums = np.cumsum(ordered, axis=-1, dtype=np.float64)
    ranks = np.arange(1, ordered.shape[-1] + 1)
    kept = np.count_nonzero(1 + ranks * ordered > sums, axis=-1, keepdims=True)
    excess = np.take_along_axis(sums, kept - 1, axis=-1)
    excess -= 1
    excess /= kept
    out -= np.moveaxis(excess, -1, axis).astype(out.dtype)
    np.maximum(out, 0, out=out)


def glu(x: Array, out: Array, axis: int = -1) -> None:
    """Write the first half along an axis times the sigmoid of the second, after Dauphin et al. (2017)."""
    value, gate = np.split(x, 2, axis=axis)
    opened = np.empty_like(gate)
    sigmoid(gate, opened)
    np.multiply(value, opened, out=out)
