"""Activations: one table of the functions of tf.keras 2.4, with their names and parameters.

``functions`` computes them; a new row here is a new name in every spec.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import ShapeError
from conv3d_cli.layers import functions
from conv3d_cli.layers.kinds import AXIS, FLAG, NOT_NEGATIVE, NUMBER
from conv3d_cli.layers.named import Parameter, Row, Table

Array: TypeAlias = NDArray[Any]

CHUNK = 1 << 15
"""Elements that an elementwise function is given at a time: few enough that its temporaries stay in cache."""

_CEILING = NOT_NEGATIVE.or_none("no maximum")
_AXIS = {"axis": Parameter(-1, AXIS)}

ROWS: Mapping[str, Row] = {
    "linear": Row(functions.linear, "x"),
    "relu": Row(
        functions.relu,
        "max(x, 0); with a slope below the threshold and a maximum if given",
        {
            "alpha": Parameter(0.0, NUMBER),
            "max_value": Parameter(None, _CEILING),
            "threshold": Parameter(0.0, NUMBER),
        },
    ),
    "elu": Row(functions.elu, "x above 0, alpha * (e^x - 1) below", {"alpha": Parameter(1.0, NUMBER)}),
    "selu": Row(functions.selu, "1.0507 * elu(x) with alpha 1.6733"),
    "softplus": Row(functions.softplus, "log(1 + e^x)"),
    "softsign": Row(functions.softsign, "x / (1 + |x|)"),
    "swish": Row(functions.swish, "x * sigmoid(x)"),
    "gelu": Row(functions.gelu, "x times the normal distribution function", {"approximate": Parameter(False, FLAG)}),
    "tanh": Row(functions.tanh, "hyperbolic tangent"),
    "sigmoid": Row(functions.sigmoid, "1 / (1 + e^-x)"),
    "exponential": Row(functions.exponential, "e^x"),
    "hard_sigmoid": Row(functions.hard_sigmoid, "0.2 x + 0.5, clipped to 0 and 1"),
    "softmax": Row(functions.softmax, "e^x over its sum along an axis, by default the last", _AXIS),
    "LeakyReLU": Row(functions.relu, "x above 0, alpha * x below", {"alpha": Parameter(0.3, NUMBER)}, alone=False),
    "ReLU": Row(
        functions.relu_layer,
        "relu with a slope, a maximum and a threshold",
        {
            "max_value": Parameter(None, _CEILING),
            "negative_slope": Parameter(0.0, NOT_NEGATIVE),
            "threshold": Parameter(0.0, NUMBER),
        },
        alone=False,
    ),
    "ELU": Row(functions.elu, "x above 0, alpha * (e^x - 1) below", {"alpha": Parameter(1.0, NUMBER)}, alone=False),
    "ThresholdedReLU": Row(
        functions.thresholded_relu, "x above theta, else 0", {"theta": Parameter(1.0, NUMBER)}, alone=False
    ),
    "Softmax": Row(functions.softmax, "e^x over its sum along an axis", _AXIS, alone=False),
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
        if row.alone and all(self.config[key] == parameter.default for key, parameter in row.parameters.items()):
            return self.name
        return {"class_name": self.name, "config": dict(self.config)}

    def check_rank(self, rank: int) -> None:
        """Raise ShapeError if an array of so many axes lacks the one along which values are mixed."""
        if self.axis is not None and not -rank <= self.axis < rank:
            raise ShapeError(
                f"activation: {self.name}: axis: not an axis of the output: got {self.axis}, "
                f"expected {-rank} to {rank - 1}",
                "activation",
            )

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Return the activation of x, a float32 or float64 array in the layer's own data format.

        The result is written to ``out`` if given, which has x's shape and dtype and may be x; else it is a
        new array. Raises ShapeError for an axis that x does not have.
        """
        result = np.empty(x.shape, x.dtype) if out is None else out
        self.check_rank(x.ndim)
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
