"""The activations made of straight pieces, each ``(x, out, parameters)``.

The formulas are those of ``tf.keras.activations`` 2.4 and Keras 3 and of their activation layers; a NaN stays NaN, also
where a comparison in Keras drops it. Every function writes to ``out``, which may be x itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


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


def relu_layer(x: Array, out: Array, max_value: float | None, negative_slope: float, threshold: float) -> None:
    """Write the relu of the layer ReLU, whose slope has another name."""
    relu(x, out, negative_slope, max_value, threshold)


def thresholded_relu(x: Array, out: Array, theta: float) -> None:
    """Write x above theta, and 0 elsewhere."""
    relu(x, out, threshold=theta)


def hard_sigmoid(x: Array, out: Array) -> None:
    """Write ``0.2 x + 0.5`` clipped to 0 and 1."""
    np.multiply(x, 0.2, out=out)
    out += 0.5
    np.clip(out, 0, 1, out=out)


def relu6(x: Array, out: Array) -> None:
    """Write x between 0 and 6, and the nearer of the two elsewhere."""
    relu(x, out, max_value=6.0)


def leaky_relu(x: Array, out: Array, negative_slope: float) -> None:
    """Write x above 0, and ``negative_slope * x`` below it."""
    relu(x, out, negative_slope)


def prelu(x: Array, out: Array, alpha: Array) -> None:
    """Write x above 0, and alpha times x below it, after He et al. (2015); where alpha is 0, 0."""
    below = np.minimum(x, 0)
    below *= alpha
    # 0 times an infinity is no number: a slope of 0 is a relu.
    np.copyto(below, 0, where=(alpha == 0) & (x < 0))
    np.maximum(x, 0, out=out)
    out += below


def hard_sigmoid_by_6(x: Array, out: Array) -> None:
    """Write ``x / 6 + 0.5`` clipped to 0 and 1: the hard sigmoid of Keras 3, after Howard et al. (2019)."""
    np.add(x, 3, out=out)
    np.clip(out, 0, 6, out=out)
    out /= 6


def hard_silu(x: Array, out: Array) -> None:
    """Write x times Keras 3's hard sigmoid."""
    gate = np.empty_like(x)
    hard_sigmoid_by_6(x, gate)
    np.multiply(x, gate, out=out)


def hard_tanh(x: Array, out: Array) -> None:
    """Write x clipped to -1 and 1."""
    np.clip(x, -1, 1, out=out)


def hard_shrink(x: Array, out: Array, threshold: float) -> None:
    """Write x farther from 0 than the threshold, and 0 nearer."""
    near = np.abs(x) <= threshold
    linear(x, out)
    np.copyto(out, 0, where=near)


def soft_shrink(x: Array, out: Array, threshold: float) -> None:
    """Write x moved towards 0 by the threshold, and 0 where that would pass 0."""
    np.subtract(x, np.clip(x, -threshold, threshold), out=out)


def threshold(x: Array, out: Array, threshold: float, default_value: float) -> None:
    """Write x above the threshold, and ``default_value`` elsewhere."""
    below = x <= threshold
    linear(x, out)
    np.copyto(out, default_value, where=below)


def sparse_plus(x: Array, out: Array) -> None:
    """Write 0 up to -1, ``(x + 1)^2 / 4`` up to 1, and x above."""
    bent = np.maximum(x, -1)
    bent += 1
    bent *= bent
    bent *= 0.25
    np.copyto(bent, x, where=x >= 1)
    np.copyto(out, bent)


def sparse_sigmoid(x: Array, out: Array) -> None:
    """Write ``(x + 1) / 2`` clipped to 0 and 1."""
    np.add(x, 1, out=out)
    out *= 0.5
    np.clip(out, 0, 1, out=out)
