"""The tables of activations, one for each dialect: names, parameters with their defaults, what computes them.

Those of ``keras: 2`` are the functions and layers of tf.keras 2.4, those of ``keras: 3`` of Keras 3. A new row is a
new name in every spec of that dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from conv3d_cli.kinds import AXIS, COUNT, FLAG, NOT_NEGATIVE, NUMBER, POSITIVE, Kind, RefusedError, Schema
from conv3d_cli.layers import constraints, initializers, regularizers
from conv3d_cli.layers.activations import mixing, pieces, smooth
from conv3d_cli.layers.activations.activation import LAYER, Activation
from conv3d_cli.layers.activations.forms import ActivationTable, either, object_kind
from conv3d_cli.layers.given import exact
from conv3d_cli.named import Parameter, Row


def _several(value: Any, kind: Kind) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        return (kind.parse(value),)
    if not value:
        raise RefusedError("an empty list")
    return tuple(kind.parse(item) for item in value)


def _axes(value: Any) -> Any:
    axes = _several(value, AXIS)
    return axes if isinstance(value, (list, tuple)) else axes[0]


def _held_by_float32(kind: Kind) -> Kind:
    """Return a kind of numbers as the layers of tf.keras 2 keep them: those of float32, whatever the layer's type."""

    def parse(value: Any) -> float | None:
        number = kind.parse(value)
        if number is not None and abs(number) > float(np.finfo(np.float32).max):
            raise RefusedError("too large for float32")
        return None if number is None else float(np.float32(number))

    return Kind(kind.expected, parse, kind.schema)


def _one_or_list(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}


_MAXIMUM = NOT_NEGATIVE.or_none("no maximum")
_CEILING = Parameter(None, _MAXIMUM)
_REQUIRED = Parameter(None, Kind("a finite number, there is no default", NUMBER.parse, NUMBER.schema))
_ZERO = Parameter(0.0, NUMBER)
_FLOAT32 = _held_by_float32(NUMBER)
_SLOPE = Parameter(0.0, exact(NOT_NEGATIVE))
_SHRINK = {"threshold": Parameter(0.5, NOT_NEGATIVE)}
_ALPHA = {"alpha": Parameter(1.0, NUMBER)}
_AXIS = {"axis": Parameter(-1, AXIS)}
_AXES = {"axis": Parameter(-1, Kind("a whole number, or a list of them", _axes, _one_or_list(AXIS.schema)))}
_SHARED = Kind(
    "a whole number of at least 1, or a list of them",
    partial(_several, kind=COUNT),
    _one_or_list(COUNT.schema),
).or_none("none")

_BELOW_AND_ABOVE = "max(x, 0); with a slope below the threshold and a maximum if given"
_ELU = "x above 0, alpha * (e^x - 1) below"
_SOFTMAX = "e^x over its sum along an axis, by default the last"


def _prelu(keras: int) -> Row:
    """Return the row of the one activation with weights."""
    initializer = object_kind(initializers.Initializer.of, keras, either(initializers.TABLES))
    regularizer = object_kind(regularizers.Regularizer.of, keras, either(regularizers.TABLES)).or_none("none")
    constraint = object_kind(constraints.Constraint.of, keras, either(constraints.TABLES)).or_none("none")
    return Row(
        pieces.prelu,
        "x above 0, alpha * x below, with an alpha for each place that is not shared",
        {
            "alpha_initializer": Parameter("zeros", initializer),
            "alpha_regularizer": Parameter(None, regularizer),
            "alpha_constraint": Parameter(None, constraint),
            "shared_axes": Parameter(None, _SHARED),
        },
        alone=False,
    )


_BOTH: Mapping[str, Row] = {
    "linear": Row(pieces.linear, "x"),
    "elu": Row(smooth.elu, _ELU, _ALPHA),
    "selu": Row(smooth.selu, "1.0507 * elu(x) with alpha 1.6733"),
    "softplus": Row(smooth.softplus, "log(1 + e^x)"),
    "softsign": Row(smooth.softsign, "x / (1 + |x|)"),
    "gelu": Row(smooth.gelu, "x times the normal distribution function", {"approximate": Parameter(False, FLAG)}),
    "tanh": Row(smooth.tanh, "hyperbolic tangent"),
    "sigmoid": Row(smooth.sigmoid, "1 / (1 + e^-x)"),
    "exponential": Row(smooth.exponential, "e^x"),
    "softmax": Row(mixing.softmax, _SOFTMAX, _AXIS),
    "Softmax": Row(mixing.softmax, "e^x over its sum along one or several axes", _AXES, alone=False),
}

ROWS_2: Mapping[str, Row] = {
    **_BOTH,
    "relu": Row(pieces.relu, _BELOW_AND_ABOVE, {"alpha": _ZERO, "max_value": _CEILING, "threshold": _ZERO}),
    "swish": Row(smooth.swish, "x * sigmoid(x)"),
    "hard_sigmoid": Row(pieces.hard_sigmoid, "0.2 x + 0.5, clipped to 0 and 1"),
    "LeakyReLU": Row(pieces.relu, "x above 0, alpha * x below", {"alpha": Parameter(0.3, _FLOAT32)}, alone=False),
    "ReLU": Row(
        pieces.relu_layer,
        "relu with a slope, a maximum and a threshold",
        {
            "max_value": Parameter(None, _held_by_float32(_MAXIMUM)),
            "negative_slope": Parameter(0.0, _held_by_float32(NOT_NEGATIVE)),
            "threshold": Parameter(0.0, _FLOAT32),
        },
        alone=False,
    ),
    "ELU": Row(smooth.elu, _ELU, {"alpha": Parameter(1.0, _FLOAT32)}, alone=False),
    "ThresholdedReLU": Row(
        pieces.thresholded_relu, "x above theta, else 0", {"theta": Parameter(1.0, _FLOAT32)}, alone=False
    ),
    "PReLU": _prelu(2),
}

ROWS_3: Mapping[str, Row] = {
    **_BOTH,
    "relu": Row(
        pieces.relu_layer,
        _BELOW_AND_ABOVE,
        {"negative_slope": _ZERO, "max_value": _CEILING, "threshold": _ZERO},
    ),
    "relu6": Row(pieces.relu6, "x clipped to 0 and 6"),
    "leaky_relu": Row(
        pieces.leaky_relu, "x above 0, negative_slope * x below", {"negative_slope": Parameter(0.2, NUMBER)}
    ),
    "celu": Row(smooth.celu, "x above 0, alpha * (e^(x / alpha) - 1) below", {"alpha": Parameter(1.0, POSITIVE)}),
    "silu": Row(smooth.swish, "x * sigmoid(x)"),
    "hard_sigmoid": Row(pieces.hard_sigmoid_by_6, "x / 6 + 0.5, clipped to 0 and 1"),
    "hard_silu": Row(pieces.hard_silu, "x * hard_sigmoid(x)"),
    "hard_tanh": Row(pieces.hard_tanh, "x clipped to -1 and 1"),
    "hard_shrink": Row(pieces.hard_shrink, "x farther from 0 than the threshold, else 0", _SHRINK),
    "soft_shrink": Row(pieces.soft_shrink, "x moved towards 0 by the threshold, as far as 0", _SHRINK),
    "tanh_shrink": Row(smooth.tanh_shrink, "x - tanh(x)"),
    "threshold": Row(
        pieces.threshold,
        "x above the threshold, else default_value",
        {"threshold": _REQUIRED, "default_value": _REQUIRED},
        alone=False,
    ),
    "log_sigmoid": Row(smooth.log_sigmoid, "-log(1 + e^-x)"),
    "mish": Row(smooth.mish, "x * tanh(log(1 + e^x))"),
    "squareplus": Row(smooth.squareplus, "(x + sqrt(x^2 + b)) / 2", {"b": Parameter(4.0, NOT_NEGATIVE)}),
    "sparse_plus": Row(pieces.sparse_plus, "0 up to -1, (x + 1)^2 / 4 up to 1, x above"),
    "sparse_sigmoid": Row(pieces.sparse_sigmoid, "(x + 1) / 2, clipped to 0 and 1"),
    "log_softmax": Row(mixing.log_softmax, "logarithm of the softmax along an axis", _AXIS),
    "sparsemax": Row(mixing.sparsemax, "the nearest values that are not negative and have sum 1 along an axis", _AXIS),
    "glu": Row(mixing.glu, "first half along an axis times the sigmoid of the second", _AXIS),
    "LeakyReLU": Row(
        pieces.leaky_relu,
        "x above 0, negative_slope * x below",
        {"negative_slope": Parameter(0.3, exact(NOT_NEGATIVE))},
        alone=False,
    ),
    "ReLU": Row(
        pieces.relu_layer,
        "relu with a slope, a maximum and a threshold",
        {"max_value": Parameter(None, exact(_MAXIMUM)), "negative_slope": _SLOPE, "threshold": _SLOPE},
        alone=False,
    ),
    "ELU": Row(smooth.elu, _ELU, {"alpha": Parameter(1.0, exact(NUMBER))}, alone=False),
    "PReLU": _prelu(3),
}

ALIASES_3 = {"swish": "silu", "hard_swish": "hard_silu"}

RENAMED: Mapping[int, Mapping[tuple[str, str], str]] = {
    3: {("swish", ""): "silu", ("relu", "alpha"): "negative_slope", ("LeakyReLU", "alpha"): "negative_slope"},
    2: {("silu", ""): "swish", ("relu", "negative_slope"): "alpha", ("LeakyReLU", "negative_slope"): "alpha"},
}
"""What each dialect calls a function (beside an empty name) or a parameter of a function that the other names so."""

CHANGED = frozenset({"hard_sigmoid"})
"""Functions that are not the same in both dialects."""

# Keras 3 still takes the old name of the slope, for this layer only.
OLD_3 = {("LeakyReLU", "alpha"): "negative_slope"}

ALL_3 = {**ROWS_3, **{alias: ROWS_3[name] for alias, name in ALIASES_3.items()}}


def _with_layer(rows: Mapping[str, Row], keras: int) -> Mapping[str, Row]:
    kind = object_kind(Activation.of, keras, {"type": ["string", "object", "null"]})
    return {
        **rows,
        LAYER: Row(pieces.linear, "the activation that it holds", {"activation": Parameter(None, kind)}, alone=False),
    }


TABLES: Mapping[int, ActivationTable] = {
    2: ActivationTable("an activation", _with_layer(ROWS_2, 2), {}, (), ALL_3, 3),
    3: ActivationTable("an activation", _with_layer(ROWS_3, 3), ALIASES_3, (), ROWS_2, 2, OLD_3),
}
"""The activations of each dialect of Keras."""

ACTIVATIONS = TABLES[2]
ROWS = ACTIVATIONS.rows

ACTIVATION_SCHEMA: Schema = either(TABLES)
"""The JSON schema of every form of either dialect."""


def layer_parameters(name: str) -> dict[str, Parameter]:
    """Return the parameters that a layer of Keras has in any dialect, beside what every layer has.

    >>> list(layer_parameters("LeakyReLU"))
    ['alpha', 'negative_slope']
    """
    tables = [table.rows[name].parameters for table in TABLES.values() if name in table.rows]
    return {key: parameter for parameters in tables for key, parameter in parameters.items()}
