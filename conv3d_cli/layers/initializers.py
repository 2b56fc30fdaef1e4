"""Initializers: one table of those of tf.keras 2.4, with Keras's own random numbers.

A seed makes here the weights that it makes in Keras (see ``philox``). The formulas are those of
``VarianceScaling``, after Glorot and Bengio (2010), He et al. (2015), LeCun et al. (1998), and of
``Orthogonal``, after Saxe et al. (2014).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod, sqrt
from typing import Any

import numpy as np

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers.kinds import NUMBER, NUMBERS, POSITIVE, SEED, Kind, one_of
from conv3d_cli.layers.named import Parameter, Row, Table
from conv3d_cli.layers.philox import Floats, Stream

Shape = tuple[int, ...]

TRUNCATED_SIGMA = 0.87962566103423978
"""Standard deviation of a standard normal variable that lies between -2 and 2."""


def filled(shape: Shape, dtype: str, value: Any) -> Floats:
    """Return a number everywhere, or an array with as many numbers as the shape has."""
    numbers = np.asarray(value, dtype)
    if numbers.size not in (1, prod(shape)):
        raise ShapeError(
            f"Constant: value: wrong number of values: got {numbers.size}, expected 1 or {prod(shape)} for {shape}"
        )
    return np.full(shape, numbers.reshape(())) if numbers.size == 1 else numbers.reshape(shape).copy()


def uniform(shape: Shape, dtype: str, seed: int, minval: float, maxval: float) -> Floats:
    """Return numbers evenly spread from ``minval`` to below ``maxval``."""
    low, high = np.array([minval, maxval], dtype)
    numbers: Floats = Stream(seed).uniform(prod(shape), dtype) * (high - low) + low
    return numbers.reshape(shape)


def normal(shape: Shape, dtype: str, seed: int, mean: float, stddev: float) -> Floats:
    """Return normally distributed numbers."""
    return _scaled(Stream(seed).normal(prod(shape), dtype), shape, mean, stddev)


def truncated_normal(shape: Shape, dtype: str, seed: int, mean: float, stddev: float) -> Floats:
    """Return normally distributed numbers, those beyond two standard deviations drawn again."""
    return _scaled(Stream(seed).truncated_normal(prod(shape), dtype), shape, mean, stddev)


def variance_scaling(shape: Shape, dtype: str, seed: int, scale: float, mode: str, distribution: str) -> Floats:
    """Return numbers of variance ``scale`` over the connections in, out, or their mean."""
    variance = scale / max(1.0, FANS[mode](*fans(shape)))
    return DISTRIBUTIONS[distribution](shape, dtype, seed, variance)


def orthogonal(shape: Shape, dtype: str, seed: int, gain: float) -> Floats:
    """Return ``gain`` times orthonormal rows or columns of a matrix (all axes but the last, the last)."""
    rows, columns = prod(shape[:-1]), shape[-1]
    tall = (max(rows, columns), min(rows, columns))
    drawn = Stream(seed).normal(prod(tall), dtype).reshape(tall)
    q, r = np.linalg.qr(drawn.astype(np.float64))
    q = q * np.sign(np.diag(r))
    matrix: Floats = (gain * (q.T if rows < columns else q)).astype(dtype).reshape(shape)
    return matrix


def identity(shape: Shape, dtype: str, gain: float) -> Floats:
    """Return ``gain`` on the diagonal of a matrix."""
    diagonal: Floats = (np.eye(shape[0], shape[1]) * gain).astype(dtype)
    return diagonal


def fans(shape: Shape) -> tuple[int, int]:
    """Return the inputs of an output and the outputs of an input of a kernel ``(*taps, channels, filters)``.

    >>> fans((3, 3, 3, 2, 8))
    (54, 216)
    """
    if len(shape) < 2:
        return prod(shape), prod(shape)
    taps = prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _scaled(numbers: Floats, shape: Shape, mean: float, stddev: float) -> Floats:
    scaled: Floats = numbers * numbers.dtype.type(stddev) + numbers.dtype.type(mean)
    return scaled.reshape(shape)


def _spread(shape: Shape, dtype: str, seed: int, variance: float) -> Floats:
    limit = sqrt(3.0 * variance)
    return uniform(shape, dtype, seed, -limit, limit)


FANS: Mapping[str, Callable[[int, int], float]] = {
    "fan_in": lambda into, out: into,
    "fan_out": lambda into, out: out,
    "fan_avg": lambda into, out: (into + out) / 2.0,
}

DISTRIBUTIONS: Mapping[str, Callable[[Shape, str, int, float], Floats]] = {
    "truncated_normal": lambda shape, dtype, seed, variance: truncated_normal(
        shape, dtype, seed, 0.0, sqrt(variance) / TRUNCATED_SIGMA
    ),
    "untruncated_normal": lambda shape, dtype, seed, variance: normal(shape, dtype, seed, 0.0, sqrt(variance)),
    "uniform": _spread,
}

_SEED = {"seed": Parameter(None, SEED.or_none("the run's seed"))}
_GAIN = {"gain": Parameter(1.0, NUMBER)}
_NORMAL = {"mean": Parameter(0.0, NUMBER), "stddev": Parameter(0.05, NUMBER), **_SEED}
_UNIFORM = {"minval": Parameter(-0.05, NUMBER), "maxval": Parameter(0.05, NUMBER), **_SEED}

# Keras's old name of the truncated normal distribution is still accepted.
_NAMED = one_of(*DISTRIBUTIONS, "normal")
_DISTRIBUTION = Kind(
    _NAMED.expected,
    lambda value: {"normal": "truncated_normal"}.get(word := _NAMED.parse(value), word),
    _NAMED.schema,
)
_SCALING = {
    "scale": Parameter(1.0, POSITIVE),
    "mode": Parameter("fan_in", one_of(*FANS, any_case=False)),
    "distribution": Parameter("truncated_normal", _DISTRIBUTION),
    **_SEED,
}


def _scaling(scale: float, mode: str, distribution: str, meaning: str) -> Row:
    compute = partial(variance_scaling, scale=scale, mode=mode, distribution=distribution)
    return Row(compute, meaning, _SEED)


ROWS: Mapping[str, Row] = {
    "Zeros": Row(partial(filled, value=0.0), "0"),
    "Ones": Row(partial(filled, value=1.0), "1"),
    "Constant": Row(filled, "a number, or an array of them", {"value": Parameter(0.0, NUMBERS)}),
    "RandomNormal": Row(normal, "normal with mean and stddev", _NORMAL),
    "RandomUniform": Row(uniform, "uniform from minval to maxval", _UNIFORM),
    "TruncatedNormal": Row(truncated_normal, "normal within two standard deviations", _NORMAL),
    "VarianceScaling": Row(variance_scaling, "variance of scale over the fan of a mode", _SCALING),
    "GlorotNormal": _scaling(1.0, "fan_avg", "truncated_normal", "truncated normal, variance 1 / mean fan"),
    "GlorotUniform": _scaling(1.0, "fan_avg", "uniform", "uniform, variance 1 / mean fan"),
    "HeNormal": _scaling(2.0, "fan_in", "truncated_normal", "truncated normal, variance 2 / fan in"),
    "HeUniform": _scaling(2.0, "fan_in", "uniform", "uniform, variance 2 / fan in"),
    "LecunNormal": _scaling(1.0, "fan_in", "truncated_normal", "truncated normal, variance 1 / fan in"),
    "LecunUniform": _scaling(1.0, "fan_in", "uniform", "uniform, variance 1 / fan in"),
    "Orthogonal": Row(orthogonal, "orthonormal rows or columns, times gain", {**_GAIN, **_SEED}),
    "Identity": Row(identity, "gain on the diagonal of a matrix", _GAIN),
}

SNAKE = {name: re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in ROWS}
ALIASES: Mapping[str, str] = {
    **{snake: name for name, snake in SNAKE.items()},
    "zero": "Zeros",
    "one": "Ones",
    "normal": "RandomNormal",
    "uniform": "RandomUniform",
    **{f"{name}V2": name for name in SNAKE},
    **{f"{snake}V2": name for name, snake in SNAKE.items() if snake.startswith(("glorot", "he_", "lecun"))},
}

INITIALIZERS = Table("an initializer", ROWS, ALIASES)

RANKS = {
    "Identity": (2, 2, "a matrix (2 axes) only"),
    "Orthogonal": (2, 99, "an array of at least 2 axes"),
}


@dataclass(frozen=True)
class Initializer:
    """A function of the table with all its parameters; called with a shape and a dtype it returns an array.

    >>> Initializer.of({"class_name": "HeNormal", "config": {"seed": 7}})((3, 3, 3, 1, 8)).shape
    (3, 3, 3, 1, 8)
    """

    name: str = "GlorotUniform"
    config: Mapping[str, Any] = field(default_factory=lambda: {"seed": None})

    @classmethod
    def of(cls, value: Any, argument: str = "kernel_initializer") -> Initializer:
        """Return the initializer that a value means: a name, a mapping, None (glorot_uniform) or one itself.

        Raises LayerError or UnknownArgument, naming ``argument``.
        """
        if isinstance(value, cls):
            return value
        return cls(*INITIALIZERS.read(argument, "GlorotUniform" if value is None else value))

    @property
    def seed(self) -> int | None:
        """The seed, or None if it has none yet or needs none."""
        return self.config.get("seed")

    @property
    def random(self) -> bool:
        """Whether the numbers are drawn."""
        return "seed" in self.config

    def seeded(self, seed: int) -> Initializer:
        """Return this initializer with a seed, unless it has one or needs none."""
        if not self.random or self.seed is not None:
            return self
        return replace(self, config={**self.config, "seed": seed})

    def refuses(self, rank: int) -> str | None:
        """Return why arrays of so many axes cannot be initialized so, or None if they can."""
        least, most, allowed = RANKS.get(self.name, (0, 99, ""))
        return (
            None
            if least <= rank <= most
            else f"{self.name} cannot make this array: got {rank} axes, expected {allowed}"
        )

    def written(self) -> dict[str, Any]:
        """Return what a configuration says for this initializer."""
        return {"class_name": self.name, "config": dict(self.config)}

    def __call__(self, shape: Shape, dtype: str = "float32") -> Floats:
        """Return an array of a shape, in float32 or float64.

        Raises LayerError for a shape that the initializer cannot make, or if it needs a seed and has none.
        """
        if refusal := self.refuses(len(shape)):
            raise LayerError(refusal)
        if self.random and self.seed is None:
            raise LayerError(f"{self.name}: has no seed: got None, expected a whole number (use seeded)")
        result: Floats = ROWS[self.name].compute(tuple(shape), dtype, **self.config)
        return result


def stream_seed(seed: int, layer: str, weight: str) -> int:
    """Return the seed of one weight of one layer: a 64-bit hash of the run's seed and both names.

    So each weight has random numbers of its own, and adding a layer leaves those of the others as they are.

    >>> stream_seed(0, "conv3d", "kernel") == stream_seed(0, "conv3d", "bias")
    False
    """
    digest = hashlib.sha256(f"{seed}\n{layer}\n{weight}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
