"""The functions behind the activations, each ``(x, out, parameters)``.

The formulas are those of ``tf.keras.activations`` 2.4 and of its activation layers, in a form that neither overflows
nor cancels in float32; a NaN stays NaN. Every function writes to ``out``, which may be x itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
SQRT_2_OVER_PI = 0.7978845608028654


def linear(x: Array, out: Array) -> None:
    """Write x."""
    if out is not x:
        np.copyto(out, x)


def relu(x: Array, out: Array, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> None:
    """Write x above the threshold, at most ``max_value``, and ``alpha * (x - threshold)`` below it."""
    if (alpha, max_value, threshold) == (0.0, None, 0.0):
        np.maximum(x, 0, out=out)
        return
    if 0 < alpha <= 1 and max_value is None and threshold == 0:
        np.maximum(x, alpha * x, out=out)
        return
    below = x <= threshold
    slope = alpha * (x - threshold) if alpha else 0.0
    if max_value is None:
        linear(x, out)
    else:
        np.clip(x, 0.0, max_value, out=out)
    np.copyto(out, slope, where=below, casting="same_kind")


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
    small = np.abs(x)
    np.negative(small, out=small)
    np.exp(small, out=small)
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
    small = np.abs(x)
    np.negative(small, out=small)
    np.exp(small, out=small)
    numerator = np.where(x < 0, small, np.ones_like(small))
    small += 1
    np.divide(numerator, small, out=out)


def swish(x: Array, out: Array) -> None:
    """Write ``x * sigmoid(x)``."""
    gate = np.empty_like(x)
    sigmoid(x, gate)
    np.multiply(x, gate, out=out)


def gelu(x: Array, out: Array, approximate: bool = False) -> None:
    """Write x times the normal distribution function, or times its approximation by a tanh."""
    if approximate:
        gate = x * x
        gate *= 0.044715
        gate += 1
        gate *= x
        gate *= SQRT_2_OVER_PI
        np.tanh(gate, out=gate)
        gate += 1
        gate *= 0.5
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


def hard_sigmoid(x: Array, out: Array) -> None:
    """Write ``0.2 x + 0.5`` clipped to 0 and 1."""
    np.multiply(x, 0.2, out=out)
    out += 0.5
    np.clip(out, 0, 1, out=out)


def softmax(x: Array, out: Array, axis: int = -1) -> None:
    """Write ``e^x`` over its sum along an axis; the maximum is subtracted, so that nothing overflows."""
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)


def relu_layer(x: Array, out: Array, max_value: float | None, negative_slope: float, threshold: float) -> None:
    """Write the relu of the layer ReLU, whose slope has another name."""
    relu(x, out, negative_slope, max_value, threshold)


def thresholded_relu(x: Array, out: Array, theta: float) -> None:
    """Write x above theta, and 0 elsewhere."""
    relu(x, out, threshold=theta)
