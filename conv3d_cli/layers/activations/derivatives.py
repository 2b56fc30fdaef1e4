"""The chain rule through an activation: from the gradient of its values to that of what it was given.

DERIVATIVES has a row for every function behind the activations, so that all names that share one share its derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError
from conv3d_cli.layers.activations import TABLES, Activation, mixing, pieces, slopes, smooth

Array: TypeAlias = NDArray[Any]

CHUNK = 1 << 15
"""Elements that a derivative is given at a time: few enough that its temporaries stay in cache."""

DERIVATIVES: Mapping[Callable[..., Any], Callable[..., Array]] = {
    pieces.linear: slopes.linear,
    pieces.relu: slopes.relu,
    pieces.relu_layer: slopes.relu_layer,
    pieces.relu6: slopes.relu6,
    pieces.leaky_relu: slopes.leaky_relu,
    pieces.prelu: slopes.prelu,
    pieces.thresholded_relu: slopes.thresholded_relu,
    pieces.threshold: slopes.threshold,
    pieces.hard_sigmoid: slopes.hard_sigmoid,
    pieces.hard_sigmoid_by_6: slopes.hard_sigmoid_by_6,
    pieces.hard_silu: slopes.hard_silu,
    pieces.hard_tanh: slopes.hard_tanh,
    pieces.hard_shrink: slopes.shrink,
    pieces.soft_shrink: slopes.shrink,
    pieces.sparse_plus: slopes.sparse_plus,
    pieces.sparse_sigmoid: slopes.sparse_sigmoid,
    smooth.elu: slopes.elu,
    smooth.selu: slopes.selu,
    smooth.celu: slopes.celu,
    smooth.softplus: slopes.softplus,
    smooth.softsign: slopes.softsign,
    smooth.log_sigmoid: slopes.log_sigmoid,
    smooth.sigmoid: slopes.sigmoid,
    smooth.tanh: slopes.tanh,
    smooth.tanh_shrink: slopes.tanh_shrink,
    smooth.exponential: slopes.exponential,
    smooth.swish: slopes.swish,
    smooth.gelu: slopes.gelu,
    smooth.mish: slopes.mish,
    smooth.squareplus: slopes.squareplus,
}
"""The slopes of the elementwise functions."""


def vjp(
    activation: Activation, z: Array, upstream: Array, weights: Mapping[str, Array] | None = None
) -> tuple[Array, Array | None]:
    """Return the gradient of ``sum(upstream * activation(z))`` with respect to z, and with respect to PReLU's alpha.

    ``z`` is float32 or float64 in the layer's data format, ``upstream`` has its dtype and the shape of the values.
    ``weights`` holds ``alpha`` for PReLU; the second gradient is None for the others. Raises LayerError for a Python
    function, whose derivative is not known.

    >>> vjp(Activation.of("relu"), np.array([-1.0, 0.0, 2.0]), np.array([3.0, 4.0, 5.0]))[0]
    array([0., 0., 5.])
    """
    compute, parameters = function_of(activation)
    if compute is pieces.linear or not z.size:
        return upstream.copy() if upstream.shape == z.shape else np.zeros_like(z), None
    with np.errstate(all="ignore"):
        if compute in MIXING:
            return MIXING[compute](z, upstream, **parameters), None
        if compute is pieces.prelu:
            alpha = _alpha_of(weights, z)
            spread = np.broadcast_to(alpha, z.shape)
            return _elementwise(slopes.prelu, [z, upstream, spread]), _of_alpha(alpha, z, upstream)
        return _elementwise(DERIVATIVES[compute], [z, upstream], **parameters), None


def function_of(activation: Activation) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function behind an activation and its parameters; raises LayerError for one of Python.

    >>> function_of(Activation.of("tanh"))[0] is smooth.tanh
    True
    """
    core = activation.core
    if core.function is not None:
        raise LayerError(
            f"activation: {core.name}: its derivative is not known: got a Python function, expected one by name",
            "activation",
        )
    row = TABLES[core.keras].rows[core.name]
    return row.compute, {} if row.compute is pieces.prelu else {key: core.config[key] for key in row.parameters}


def softmax(z: Array, upstream: Array, axis: int | tuple[int, ...] = -1) -> Array:
    """Return ``y (u - sum u y)`` along the axis."""
    result = np.empty_like(z)
    mixing.softmax(z, result, axis)
    inner = (upstream * result).sum(axis=axis, keepdims=True)
    result *= upstream - inner
    return result


def log_softmax(z: Array, upstream: Array, axis: int = -1) -> Array:
    """Return ``u - softmax(z) sum u`` along the axis."""
    result = np.empty_like(z)
    mixing.softmax(z, result, axis)
    result *= -upstream.sum(axis=axis, keepdims=True)
    result += upstream
    return result


def sparsemax(z: Array, upstream: Array, axis: int = -1) -> Array:
    """Return u less its mean over the values that are not 0, for those; 0 for the others (Martins and Astudillo)."""
    result = np.empty_like(z)
    mixing.sparsemax(z, result, axis)
    kept = (result > 0) | np.isnan(result)
    seen = np.where(kept, upstream, 0)
    mean = seen.sum(axis=axis, keepdims=True) / np.count_nonzero(kept, axis=axis, keepdims=True)
    return np.where(np.isnan(result), result, np.where(kept, seen - mean, 0)).astype(z.dtype, copy=False)


def glu(z: Array, upstream: Array, axis: int = -1) -> Array:
    """Return ``u s`` for the first half along the axis and ``u a s (1 - s)`` for the second, s its sigmoid."""
    value, gate = np.split(z, 2, axis=axis)
    opened = np.empty(gate.shape, gate.dtype)
    smooth.sigmoid(gate, opened)
    return np.concatenate([upstream * opened, upstream * value * slopes.sigmoid(gate)], axis=axis)


MIXING: Mapping[Callable[..., Any], Callable[..., Array]] = {
    mixing.softmax: softmax,
    mixing.log_softmax: log_softmax,
    mixing.sparsemax: sparsemax,
    mixing.glu: glu,
}
"""The same for the functions that mix values along an axis, which take the upstream gradient as well."""


def _elementwise(slope: Callable[..., Array], operands: list[Array], **config: Any) -> Array:
    """Return the product of the upstream gradient and the slopes, computed in pieces that stay in cache."""
    result = np.empty(operands[0].shape, operands[0].dtype)
    flags: Any = [["readonly"]] * len(operands) + [["writeonly"]]
    chunks = np.nditer([*operands, result], ["external_loop", "buffered"], flags, buffersize=CHUNK)
    with chunks:
        for z, upstream, *further, target in chunks:
            np.multiply(slope(z, *further, **config), upstream, out=target)
    return result


def _alpha_of(weights: Mapping[str, Array] | None, z: Array) -> Array:
    if weights is None or "alpha" not in weights:
        raise LayerError("activation: PReLU: alpha: no weights: got none, expected alpha", "activation")
    return np.asarray(weights["alpha"], z.dtype)


def _of_alpha(alpha: Array, z: Array, upstream: Array) -> Array:
    """Return the gradient of PReLU's slopes: the sum of ``min(z, 0) u`` over all that share one, in float64."""
    total = np.zeros((1,) * (z.ndim - alpha.ndim) + alpha.shape)
    shared = tuple(axis for axis in range(1, z.ndim) if total.shape[axis] == 1)
    for item, gradient in zip(z, upstream, strict=True):
        terms = (np.minimum(item, 0) * gradient)[np.newaxis]
        total += terms.sum(axis=shared, keepdims=True, dtype=np.float64)
    return total.reshape(alpha.shape).astype(alpha.dtype)
