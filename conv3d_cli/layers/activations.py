"""Activations: one table of the functions of tf.keras 2.4, with their names and parameters.

The formulas are those of ``tf.keras.activations`` and of the activation layers, in a form that neither
overflows nor cancels in float32; a NaN stays NaN. Every function writes to an output that may be its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import ShapeError
from conv3d_cli.layers.kinds import AXIS, FLAG, NOT_NEGATIVE, NUMBER
from conv3d_cli.layers.named import Parameter, Row, Table

Array: TypeAlias = NDArray[Any]

CHUNK = 1 << 15
"""Elements that an elementwise function is given at a time: few enough that its temporaries stay in cache."""

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
SQRT_2_OVER_PI = 0.7978845608028654


def linear(x: Array, out: Array) -> None:
    """Write x."""
    if out is not x:
        np.copyto(out, x)


def relu(
    x: Array, out: Array, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> None:
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


def relu_layer(
    x: Array, out: Array, max_value: float | None, negative_slope: float, threshold: float
) -> None:
    """Write the relu of the layer ReLU, whose slope has another name."""
    relu(x, out, negative_slope, max_value, threshold)


def thresholded_relu(x: Array, out: Array, theta: float) -> None:
    """Write x above theta, and 0 elsewhere."""
    relu(x, out, threshold=theta)


_CEILING = NOT_NEGATIVE.or_none("no maximum")
_AXIS = {"axis": Parameter(-1, AXIS)}

ROWS: Mapping[str, Row] = {
    "linear": Row(linear, "x"),
    "relu": Row(
        relu,
        "max(x, 0); with a slope below the threshold and a maximum if given",
        {
            "alpha": Parameter(0.0, NUMBER),
            "max_value": Parameter(None, _CEILING),
            "threshold": Parameter(0.0, NUMBER),
        },
    ),
    "elu": Row(elu, "x above 0, alpha * (e^x - 1) below", {"alpha": Parameter(1.0, NUMBER)}),
    "selu": Row(selu, "1.0507 * elu(x) with alpha 1.6733"),
    "softplus": Row(softplus, "log(1 + e^x)"),
    "softsign": Row(softsign, "x / (1 + |x|)"),
    "swish": Row(swish, "x * sigmoid(x)"),
    "gelu": Row(gelu, "x times the normal distribution function", {"approximate": Parameter(False, FLAG)}),
    "tanh": Row(tanh, "hyperbolic tangent"),
    "sigmoid": Row(sigmoid, "1 / (1 + e^-x)"),
    "exponential": Row(exponential, "e^x"),
    "hard_sigmoid": Row(hard_sigmoid, "0.2 x + 0.5, clipped to 0 and 1"),
    "softmax": Row(softmax, "e^x over its sum along an axis, by default the last", _AXIS),
    "LeakyReLU": Row(relu, "x above 0, alpha * x below", {"alpha": Parameter(0.3, NUMBER)}, alone=False),
    "ReLU": Row(
        relu_layer,
        "relu with a slope, a maximum and a threshold",
        {
            "max_value": Parameter(None, _CEILING),
            "negative_slope": Parameter(0.0, NOT_NEGATIVE),
            "threshold": Parameter(0.0, NUMBER),
        },
        alone=False,
    ),
    "ELU": Row(elu, "x above 0, alpha * (e^x - 1) below", {"alpha": Parameter(1.0, NUMBER)}, alone=False),
    "ThresholdedReLU": Row(
        thresholded_relu, "x above theta, else 0", {"theta": Parameter(1.0, NUMBER)}, alone=False
    ),
    "Softmax": Row(softmax, "e^x over its sum along an axis", _AXIS, alone=False),
}

ACTIVATIONS = Table("an activation", ROWS)


@dataclass(frozen=True)
class Activation:
    """A function of the table with all its parameters.

    >>> relu6 = Activation.of({"class_name": "relu", "config": {"max_value": 6}})
    >>> relu6(np.array([-1.0, 3.0, 9.0]))
    array([0., 3., 6.])
    """

    name: str = "linear"
    config: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, argument: str = "activation") -> Activation:
        """Return the activation that a value means: a name, a mapping, None (linear) or an Activation.

        Raises LayerError or UnknownArgument, naming ``argument``.
        """
        if isinstance(value, cls):
            return value
        return cls(*ACTIVATIONS.read(argument, "linear" if value is None else value))

    @property
    def axis(self) -> int | None:
        """The axis along which values are mixed, or None if each value is treated by itself."""
        return self.config.get("axis")

    def written(self) -> str | dict[str, Any]:
        """Return what a configuration says for this activation: the bare name where that is enough."""
        row = ROWS[self.name]
        if row.alone and all(
            self.config[key] == parameter.default for key, parameter in row.parameters.items()
        ):
            return self.name
        return {"class_name": self.name, "config": dict(self.config)}

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Return the activation of x, a float32 or float64 array in the layer's own data format.

        The result is written to ``out`` if given, which has x's shape and dtype and may be x; else it is a
        new array. Raises ShapeError for an axis that x does not have.
        """
        result = np.empty(x.shape, x.dtype) if out is None else out
        if self.axis is not None and not -x.ndim <= self.axis < x.ndim:
            raise ShapeError(
                f"activation: {self.name}: axis: not an axis of the output: got {self.axis}, "
                f"expected {-x.ndim} to {x.ndim - 1}",
                "activation",
            )
        if not x.size or (self.name == "linear" and result is x):
            return result
        compute = ROWS[self.name].compute
        with np.errstate(all="ignore"):
            if self.axis is not None:
                compute(x, result, **self.config)
                return result
            chunks = np.nditer(
                [x, result],
                ["external_loop", "buffered"],
                [["readonly"], ["writeonly"]],
                buffersize=CHUNK,
            )
            with chunks:
                for source, target in chunks:
                    compute(source, target, **self.config)
        return result
