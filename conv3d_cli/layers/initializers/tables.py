"""The initializers of each dialect of Keras by name: what they compute, their parameters, further names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from conv3d_cli.kinds import AXIS, NUMBER, NUMBERS, POSITIVE, SEED, Kind, RefusedError, one_of
from conv3d_cli.layers.given import exact
from conv3d_cli.layers.initializers import filling
from conv3d_cli.layers.initializers.filling import DISTRIBUTIONS, FANS
from conv3d_cli.named import Parameter, Row, Table


def _generator(value: Any) -> Any:
    """Return a seed of Keras 3: a number, or its SeedGenerator, which starts with its own seed."""
    if not isinstance(value, Mapping):
        return SEED.parse(value)
    config = value.get("config")
    if value.get("class_name") != "SeedGenerator" or not isinstance(config, Mapping):
        raise RefusedError("not a SeedGenerator")
    if config.get("seed") is not None:
        SEED.parse(config["seed"])
    return {**value, "config": dict(config)}


def _array(value: Any) -> Any:
    """Return the numbers of a constant of Keras 3; an array is written with its type."""
    if isinstance(value, np.ndarray) and value.ndim:
        return {"class_name": "__numpy__", "config": {"value": _VALUE.parse(value), "dtype": value.dtype.name}}
    if not isinstance(value, Mapping):
        return _VALUE.parse(value)
    config = value.get("config")
    if value.get("class_name") not in ("__numpy__", "__tensor__") or not isinstance(config, Mapping):
        raise RefusedError("not an array")
    return {**value, "config": {**config, "value": _VALUE.parse(config.get("value"))}}


def _axes(value: Any) -> list[int]:
    if not isinstance(value, (list, tuple)):
        raise RefusedError("not a list of axes")
    return [AXIS.parse(item) for item in value]


_NUMBER, _VALUE = exact(NUMBER), exact(NUMBERS)
_SEED = {"seed": Parameter(None, SEED.or_none("the run's seed"))}
_SEED_3 = {"seed": Parameter(None, Kind(SEED.expected, _generator, SEED.schema).or_none("the run's seed"))}
_GAIN = {"gain": Parameter(1.0, _NUMBER)}
_NORMAL = {"mean": Parameter(0.0, _NUMBER), "stddev": Parameter(0.05, _NUMBER)}
_UNIFORM = {"minval": Parameter(-0.05, _NUMBER), "maxval": Parameter(0.05, _NUMBER)}
_AXES = Kind("a list of axes", _axes, {"type": "array", "items": {"type": "integer"}}).or_none("those of a kernel")
FAN_AXES = {"input_axes": Parameter(None, _AXES), "output_axes": Parameter(None, _AXES)}

# Keras's old name of the truncated normal distribution is still accepted.
_NAMED = one_of(*DISTRIBUTIONS, "normal")
_DISTRIBUTION = Kind(
    _NAMED.expected,
    lambda value: {"normal": "truncated_normal"}.get(word := _NAMED.parse(value), word),
    _NAMED.schema,
)
_SCALING = {
    "scale": Parameter(1.0, exact(POSITIVE)),
    "mode": Parameter("fan_in", one_of(*FANS, any_case=False)),
    "distribution": Parameter("truncated_normal", _DISTRIBUTION),
}

SCALED = {
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal", "truncated normal, variance 1 / mean fan"),
    "GlorotUniform": (1.0, "fan_avg", "uniform", "uniform, variance 1 / mean fan"),
    "HeNormal": (2.0, "fan_in", "truncated_normal", "truncated normal, variance 2 / fan in"),
    "HeUniform": (2.0, "fan_in", "uniform", "uniform, variance 2 / fan in"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal", "truncated normal, variance 1 / fan in"),
    "LecunUniform": (1.0, "fan_in", "uniform", "uniform, variance 1 / fan in"),
}
"""Variance scaling of a scale, a mode and a distribution, under a name of its own."""


def _rows(keras: int) -> dict[str, Row]:
    """Return the rows of a dialect; Keras 3 writes the seed first, and has axes for the fans."""

    def seeded(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
        return {**parameters, **_SEED} if keras == 2 else {**_SEED_3, **parameters}

    axes = {} if keras == 2 else FAN_AXES
    limits = None if keras == 2 else "float32"
    scaling = partial(filling.variance_scaling, limits=limits)
    value = Parameter(0, _VALUE) if keras == 2 else Parameter(0.0, Kind(NUMBERS.expected, _array, NUMBERS.schema))
    return {
        "Zeros": Row(partial(filling.filled, value=0.0), "0"),
        "Ones": Row(partial(filling.filled, value=1.0), "1"),
        "Constant": Row(
            filling.filled if keras == 2 else filling.spread_out, "a number, or an array of them", {"value": value}
        ),
        "RandomNormal": Row(filling.normal, "normal with mean and stddev", seeded(_NORMAL)),
        "RandomUniform": Row(
            partial(filling.uniform, limits=limits),
            "uniform from minval to maxval",
            seeded(_UNIFORM),
        ),
        "TruncatedNormal": Row(filling.truncated_normal, "normal within two standard deviations", seeded(_NORMAL)),
        "VarianceScaling": Row(scaling, "variance of scale over the fan of a mode", {**seeded(_SCALING), **axes}),
        **{
            name: Row(
                partial(scaling, scale=scale, mode=mode, distribution=distribution),
                meaning,
                {**seeded({}), **axes},
            )
            for name, (scale, mode, distribution, meaning) in SCALED.items()
        },
        "Orthogonal": Row(filling.orthogonal, "orthonormal rows or columns, times gain", seeded(_GAIN)),
        "Identity": Row(filling.identity, "gain on the diagonal of a matrix", _GAIN),
    }


ROWS: Mapping[str, Row] = _rows(2)
SNAKE = {name: re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in ROWS}
_BOTH = {
    **{snake: name for name, snake in SNAKE.items()},
    "zero": "Zeros",
    "one": "Ones",
    "normal": "RandomNormal",
    "uniform": "RandomUniform",
}
ALIASES: Mapping[str, str] = {
    **_BOTH,
    **{f"{name}V2": name for name in SNAKE},
    **{f"{SNAKE[name]}V2": name for name in SCALED},
}

INITIALIZERS = Table("an initializer", ROWS, ALIASES, tuple(SNAKE.values()))
"""The initializers of Keras 2."""

TABLES: Mapping[int, Table] = {
    2: INITIALIZERS,
    3: Table(
        "an initializer",
        _rows(3),
        {**_BOTH, "IdentityInitializer": "Identity", "OrthogonalInitializer": "Orthogonal"},
        tuple(SNAKE.values()),
    ),
}
"""The initializers of each dialect of Keras."""
