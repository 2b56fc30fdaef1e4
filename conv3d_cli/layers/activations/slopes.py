"""The derivatives of the elementwise activations, each ``(z, parameters) -> slopes``, a new array of z's dtype.

At a kink the slope is the one that TensorFlow 2.4 takes, for activations of Keras 3 the one of Keras 3 on TensorFlow;
celu, which has no kink, has slope 1 at 0. The forms neither overflow nor cancel where the slope is not small itself,
and a NaN stays NaN.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.layers.activations import smooth

Array: TypeAlias = NDArray[Any]

FAR = 1e3
"""Beyond it every smooth activation has its limiting slope in float64, and products with an exponential vanish."""


def linear(z: Array) -> Array:
    """Return 1."""
    return _where(True, 1, z)


def relu(z: Array, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """Return 1 between threshold and maximum, ``alpha`` below the threshold.

    At the threshold it is alpha for the leaky relu, else 0; at the maximum it is 1, but 0 for the relu6.
    """
    leaky = max_value is None and threshold == 0
    inside: Any = z > threshold
    if max_value is not None:
        inside &= (z >= 0) & (z < max_value if (max_value, threshold) == (6, 0) else z <= max_value)
    slopes = _where(inside, 1, z)
    np.copyto(slopes, alpha, where=z <= threshold if leaky else z < threshold)
    return slopes


def relu_layer(z: Array, max_value: float | None, negative_slope: float, threshold: float) -> Array:
    """Return the slopes of relu, whose slope below the threshold has another name."""
    return relu(z, negative_slope, max_value, threshold)


def thresholded_relu(z: Array, theta: float) -> Array:
    """Return 1 above theta, and 0 elsewhere."""
    return _where(z > theta, 1, z)


def relu6(z: Array) -> Array:
    """Return 1 between 0 and 6, both excluded."""
    return relu(z, max_value=6.0)


def leaky_relu(z: Array, negative_slope: float) -> Array:
    """Return 1 above 0, else the slope."""
    return relu(z, negative_slope)


def prelu(z: Array, alpha: Array) -> Array:
    """Return 1 above 0, alpha below it and 0 at it."""
    slopes = _where(z > 0, 1, z)
    np.copyto(slopes, alpha, where=z < 0)
    return slopes


def elu(z: Array, alpha: float = 1.0) -> Array:
    """Return 1 above 0, else ``alpha * e^z``."""
    slopes = np.exp(np.minimum(z, 0))
    slopes *= alpha
    np.copyto(slopes, 1, where=z > 0)
    return slopes


def selu(z: Array) -> Array:
    """Return the scale from 0 on, and the scale times ``alpha * e^z`` below."""
    slopes = elu(z, smooth.SELU_ALPHA)
    np.copyto(slopes, 1, where=z == 0)
    slopes *= smooth.SELU_SCALE
    return slopes


def celu(z: Array, alpha: float = 1.0) -> Array:
    """Return 1 from 0 on, and ``e^(z / alpha)`` below."""
    return np.asarray(np.exp(np.minimum(z, 0) / z.dtype.type(alpha)))


def softsign(z: Array) -> Array:
    """Return ``1 / (1 + |z|)^2``."""
    slopes = np.abs(z)
    slopes += 1
    np.reciprocal(slopes, out=slopes)
    slopes *= slopes
    return slopes


def softplus(z: Array) -> Array:
    """Return the sigmoid."""
    return _sigmoid(z)


def log_sigmoid(z: Array) -> Array:
    """Return ``1 - sigmoid(z)``, which is ``sigmoid(-z)``."""
    return _sigmoid(-z)


def sigmoid(z: Array) -> Array:
    """Return ``s (1 - s)`` with s the sigmoid."""
    return _sigmoid(z) * _sigmoid(-z)


def tanh(z: Array) -> Array:
    """Return ``1 - t^2`` with t the tanh, as ``4 s (1 - s)`` with s the sigmoid of 2 z, where nothing cancels."""
    slopes = sigmoid(2 * z)
    slopes *= 4
    return slopes


def exponential(z: Array) -> Array:
    """Return ``e^z``."""
    return np.asarray(np.exp(z))


def swish(z: Array) -> Array:
    """Return ``s (1 + z (1 - s))`` with s the sigmoid."""
    held = np.clip(z, -FAR, FAR)
    return np.asarray(_sigmoid(held) * (1 + held * _sigmoid(-held)))


def gelu(z: Array, approximate: bool = False) -> Array:
    """Return ``P(z) + z p(z)`` with the normal distribution function P and its density p, or the same for its tanh."""
    held = np.clip(z, -FAR, FAR)
    if approximate:
        square = held * held
        inner = 2 * smooth.SQRT_2_OVER_PI * held * (1 + 0.044715 * square)
        steepness = 2 * smooth.SQRT_2_OVER_PI * (1 + 3 * 0.044715 * square)
        return np.asarray(_sigmoid(inner) * (1 + held * steepness * _sigmoid(-inner)), z.dtype)
    from scipy.special import ndtr

    density = np.exp(-0.5 * held * held) / z.dtype.type(np.sqrt(2 * np.pi))
    return np.asarray(ndtr(held) + held * density)


def mish(z: Array) -> Array:
    """Return ``t + z s (1 - t^2)`` with s the sigmoid and t the tanh of the softplus."""
    held = np.clip(z, -FAR, FAR)
    small = np.exp(-np.abs(held))
    above = held >= 0
    # With e = e^-|z|: 1 - t is 2 e^2 / (1 + 2 e + 2 e^2) above 0, and 2 / (e (e + 2) + 2) below.
    scale = np.where(above, 1 + 2 * small + 2 * small * small, small * (small + 2) + 2)
    gate = np.where(above, 1 + 2 * small, small * (small + 2)) / scale
    rest = np.where(above, 2 * small * small, 2) / scale
    return np.asarray(gate + held * _sigmoid(held) * rest * (1 + gate), z.dtype)


def squareplus(z: Array, b: float = 4.0) -> Array:
    """Return ``(1 + z / sqrt(z^2 + b)) / 2``, as squareplus over the root, where nothing cancels."""
    held = np.clip(z, -1e15, 1e15)
    value = np.empty_like(held)
    smooth.squareplus(held, value, b)
    value /= np.hypot(held, held.dtype.type(np.sqrt(b)))
    return value


def tanh_shrink(z: Array) -> Array:
    """Return ``tanh(z)^2``."""
    slopes = np.tanh(z)
    slopes *= slopes
    return slopes


def hard_sigmoid(z: Array) -> Array:
    """Return 0.2 from -2.5 to 2.5, both included."""
    return _where(np.abs(z) <= 2.5, 0.2, z)


def hard_sigmoid_by_6(z: Array) -> Array:
    """Return a sixth between -3 and 3, both excluded."""
    return _where(np.abs(z) < 3, 1 / 6, z)


def hard_silu(z: Array) -> Array:
    """Return ``z / 3 + 0.5`` between -3 and 3, 0 up to there and 1 from there on."""
    slopes = np.clip(z, -3, 3)
    slopes /= 3
    slopes += 0.5
    np.copyto(slopes, 0, where=z <= -3)
    np.copyto(slopes, 1, where=z >= 3)
    return slopes


def hard_tanh(z: Array) -> Array:
    """Return 1 from -1 to 1, both included."""
    return _where(np.abs(z) <= 1, 1, z)


def shrink(z: Array, threshold: float) -> Array:
    """Return 1 farther from 0 than the threshold, for the hard shrink as for the soft one."""
    return _where(np.abs(z) > threshold, 1, z)


def threshold(z: Array, threshold: float, default_value: float) -> Array:
    """Return 1 above the threshold."""
    return _where(z > threshold, 1, z)


def sparse_plus(z: Array) -> Array:
    """Return ``(z + 1) / 2`` clipped to 0 and 1."""
    slopes = np.clip(z, -1, 1)
    slopes += 1
    slopes *= 0.5
    return slopes


def sparse_sigmoid(z: Array) -> Array:
    """Return 0.5 between -1 and 1, both excluded."""
    return _where(np.abs(z) < 1, 0.5, z)


def _sigmoid(z: Array) -> Array:
    value = np.empty_like(z)
    smooth.sigmoid(z, value)
    return value


def _where(inside: Any, slope: float, z: Array) -> Array:
    """Return the slope inside, 0 outside, and NaN where z is NaN."""
    slopes = np.zeros_like(z)
    np.copyto(slopes, slope, where=inside)
    np.copyto(slopes, z, where=np.isnan(z))
    return slopes
