"""The smooth activations, each ``(x, out, parameters)``.

The formulas are those of ``tf.keras.activations`` 2.4 and Keras 3, in a form that neither overflows nor cancels in
float32; a NaN stays NaN. Every function writes to ``out``, which may be x itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
SQRT_2_OVER_PI = 0.7978845608028654

LAMBERT_RANGE = 1.5
LAMBERT_TERMS = tuple(float(term) for term in range(25, 1, -2))
"""Odd numbers of ``tanh x = x / (1 + x^2 / (3 + x^2 / (5 + ...)))``: enough of them for float64 up to the range."""


def _decay(x: Array) -> Array:
    """Return ``e^-|x|``, which cannot overflow."""
    small = np.abs(x)
    np.negative(small, out=small)
    return np.exp(small, out=small)


def elu(x: Array, out: Array, alpha: float = 1.0) -> None:
    """Write x above 0, and ``alpha * (e^x - 1)`` below it."""
    negative = np.expm1(np.minimum(x, 0))
    negative *= alpha
    np.maximum(x, 0, out=out)
    out += negative


def selu(x: Array, out: Array) -> None:
    """Write the scaled elu of Klambauer et al., which keeps mean 0 and variance 1."""
    elu(x, out, SELU_ALPHA)
    out *= SELU_SCALE


def softplus(x: Array, out: Array) -> None:
    """Write ``log(1 + e^x)``, as ``max(x, 0) + log(1 + e^-|x|)``, which cannot overflow."""
    small = _decay(x)
    np.log1p(small, out=small)
    np.maximum(x, 0, out=out)
    out += small


def softsign(x: Array, out: Array) -> None:
    """Write ``x / (1 + |x|)``."""
    below = np.abs(x)
    below += 1
    np.divide(x, below, out=out)


def sigmoid(x: Array, out: Array) -> None:
    """Write ``1 / (1 + e^-x)``, from ``e^-|x|``, which cannot overflow."""
    small = _decay(x)
    numerator = np.where(x < 0, small, np.ones_like(small))
    small += 1
    np.divide(numerator, small, out=out)


def swish(x: Array, out: Array) -> None:
    """Write ``x * sigmoid(x)``."""
    gate = np.empty_like(x)
    sigmoid(x, gate)
    np.multiply(x, gate, out=out)


def gelu(x: Array, out: Array, approximate: bool = False) -> None:
    """Write x times the normal distribution function, or times its approximation by a tanh.

    With ``1 + tanh(u) = 2 sigmoid(2 u)`` nothing cancels where x is far below 0.
    """
    if approximate:
        gate = x * x
        gate *= 0.044715
        gate += 1
        gate *= x
        gate *= 2 * SQRT_2_OVER_PI
        sigmoid(gate, gate)
    else:
        from scipy.special import ndtr

        gate = ndtr(x)
    np.multiply(x, gate, out=out)


def tanh(x: Array, out: Array) -> None:
    """Write the hyperbolic tangent."""
    np.tanh(x, out=out)


def exponential(x: Array, out: Array) -> None:
    """Write ``e^x``."""
    np.exp(x, out=out)


def celu(x: Array, out: Array, alpha: float = 1.0) -> None:
    """Write x above 0, and ``alpha * (e^(x / alpha) - 1)`` below it, after Barron (2017)."""
    negative = np.minimum(x, 0)
    negative /= alpha
    np.expm1(negative, out=negative)
    negative *= alpha
    np.maximum(x, 0, out=out)
    out += negative


def log_sigmoid(x: Array, out: Array) -> None:
    """Write ``-log(1 + e^-x)``, as ``min(x, 0) - log(1 + e^-|x|)``, which cannot overflow."""
    small = _decay(x)
    np.log1p(small, out=small)
    np.minimum(x, 0, out=out)
    out -= small


def mish(x: Array, out: Array) -> None:
    """Write ``x * tanh(log(1 + e^x))``, after Misra (2019).

    With ``e = e^-|x|`` the gate is ``(1 + 2e) / (1 + 2e + 2e^2)`` above 0 and ``e (e + 2) / (e (e + 2) + 2)`` below.
    """
    small = _decay(x)
    above = x >= 0
    square = small * small
    gate = 2 * small
    gate += np.where(above, 1, square)
    square *= 2
    below = np.where(above, square, 2)
    below += gate
    gate /= below
    np.multiply(x, gate, out=out)


def squareplus(x: Array, out: Array, b: float = 4.0) -> None:
    """Write ``(x + sqrt(x^2 + b)) / 2``, below 0 as ``b / 2 / (sqrt(x^2 + b) - x)``, where nothing cancels."""
    total = np.hypot(x, x.dtype.type(np.sqrt(b)))
    total *= 0.5
    half = np.abs(x)
    half *= 0.5
    total += half
    below = x < 0
    np.divide(0.25 * b, total, out=total, where=below)
    np.copyto(out, total)


def tanh_shrink(x: Array, out: Array) -> None:
    """Write ``x - tanh(x)``; up to 1.5 from Lambert's fraction of tanh, of positive terms, where that would cancel."""
    square = np.clip(x, -LAMBERT_RANGE, LAMBERT_RANGE)
    square *= square
    fraction = np.full_like(square, LAMBERT_TERMS[0])
    for term in LAMBERT_TERMS[1:]:
        np.divide(square, fraction, out=fraction)
        fraction += term
    np.divide(square, fraction, out=fraction)
    near = fraction / (fraction + 1)
    near *= x
    far = np.tanh(x)
    np.subtract(x, far, out=far)
    np.copyto(far, near, where=np.abs(x) <= LAMBERT_RANGE)
    np.copyto(out, far)
