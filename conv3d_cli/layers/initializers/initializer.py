"""Initializers: one table for each dialect of Keras, with Keras's own random numbers.

A seed makes here the weights that it makes in Keras; ``filling`` computes them, from the numbers of ``philox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.frozen import field, frozen, replace
from conv3d_cli.kinds import real_array
from conv3d_cli.layers.given import Function, looked_up, written
from conv3d_cli.layers.initializers.filling import Shape
from conv3d_cli.layers.initializers.philox import Floats
from conv3d_cli.layers.initializers.tables import FAN_AXES, TABLES

if TYPE_CHECKING:
    from conv3d_cli.filters import Grid

MODULE = "keras.initializers"

SEEDS_OF_KERAS_3 = 2**31 - 2
"""Keras 3 draws from the remainder of a seed by this number."""

PIECES = 8 << 20
BYTES_A_NUMBER = 400
"""Bytes of the temporaries of random numbers, which are drawn in pieces: at most PIECES."""

LAPACK_BLOCK = 64
"""Columns that a factorization treats at a time, at most."""


RANKS = {
    "Identity": (2, 2, "a matrix (2 axes) only"),
    "Orthogonal": (2, 99, "an array of at least 2 axes"),
}


@frozen
class Initializer:
    """A function of the table with all its parameters, or one of the caller's; called it returns an array.

    >>> Initializer.of({"class_name": "HeNormal", "config": {"seed": 7}})((3, 3, 3, 1, 8)).shape
    (3, 3, 3, 1, 8)
    """

    name: str = "GlorotUniform"
    config: Mapping[str, Any] = field(default_factory=lambda: {"seed": None})
    function: Function | None = None
    keras: int = 2

    @classmethod
    def of(cls, value: Any, argument: str = "kernel_initializer", keras: int = 2) -> Initializer:
        """Return the initializer that a value means; None is glorot_uniform.

        A value is a name, a mapping, a function of a shape and a dtype, or an Initializer; for ``keras`` 3 also
        an array. Raises LayerError or UnknownArgument, naming ``argument``.
        """
        if isinstance(value, cls):
            return value
        value = "GlorotUniform" if value is None else value
        if keras == 2:
            value = _without_dtype(value)
        elif isinstance(value, np.ndarray):
            value = _initialize_fn(value)
        return cls(*looked_up(TABLES[keras], argument, value), keras)

    @property
    def seed(self) -> int | None:
        """The seed, or None if it has none yet or needs none."""
        seed = self.config.get("seed")
        return seed["config"].get("seed") if isinstance(seed, Mapping) else seed

    @property
    def random(self) -> bool:
        """Whether the numbers are drawn."""
        return "seed" in self.config

    def seeded(self, seed: int) -> Initializer:
        """Return this initializer with a seed, unless it has one or needs none."""
        if not self.random or self.seed is not None:
            return self
        return replace(self, config={**self.config, "seed": seed})

    def on(self, grid: Grid) -> Initializer:
        """Return this initializer for the voxels of a grid; none of Keras's depends on them."""
        return self

    def refuses(self, rank: int) -> str | None:
        """Return why arrays of so many axes cannot be initialized so, or None if they can."""
        least, most, allowed = RANKS.get(self.name, (0, 99, "")) if self.function is None else (0, 99, "")
        if not least <= rank <= most:
            return f"{self.name} cannot make this array: got {rank} axes, expected {allowed}"
        for key in FAN_AXES:
            if any(not -rank <= axis < rank for axis in self.config.get(key) or ()):
                got = self.config[key]
                return f"{self.name}: {key}: not axes of this array: got {got}, expected {-rank} to {rank - 1}"
        return None

    def making_bytes(self, shape: Shape, dtype: str = "float32") -> int:
        """Return the most memory in bytes that making an array takes, the array itself included.

        A function of the caller's is taken to make one array, which is copied.

        >>> Initializer.of("he_normal").making_bytes((3, 3, 3, 64, 1024)) / (4 * 27 * 64 * 1024) < 2.2
        True
        """
        size, item = prod(shape), np.dtype(dtype).itemsize
        if not self.random:
            return 2 * size * item
        making = size * item + min(PIECES, BYTES_A_NUMBER * size)
        if self.name != "Orthogonal":
            return making
        # Beside the numbers drawn, and later the result, there is the matrix in float64, and LAPACK's workspace.
        return making + 8 * (size + LAPACK_BLOCK * min(shape[-1], prod(shape[:-1])))

    def written(self, keras: int = 2) -> Any:
        """Return what a configuration of Keras says for this initializer.

        >>> Initializer.of("zeros", keras=3).written(3)["module"]
        'keras.initializers'
        """
        if self.function is not None:
            return written(self.name, {}, self.function, keras, MODULE)
        parameters = TABLES[keras].rows[self.name].parameters
        config = {key: self.config.get(key, parameter.default) for key, parameter in parameters.items()}
        # Keras 3 does not write the gain of Identity.
        config = {} if keras == 3 and self.name == "Identity" else config
        return written(self.name, config, None, keras, MODULE)

    def __call__(self, shape: Shape, dtype: str = "float32") -> Floats:
        """Return a new array of a shape, in float16, float32 or float64.

        Raises LayerError for a shape that the initializer cannot make, or if it needs a seed and has none;
        ShapeError if a function returns another shape.
        """
        if refusal := self.refuses(len(shape)):
            raise LayerError(refusal)
        if self.function is not None:
            return _checked(self.function(tuple(shape), dtype=dtype), shape, dtype, self.name)
        config = dict(self.config)
        if self.random:
            if self.seed is None:
                raise LayerError(f"{self.name}: has no seed: got None, expected a whole number (use seeded)")
            config["seed"] = self.seed if self.keras == 2 else self.seed % SEEDS_OF_KERAS_3
        result: Floats = TABLES[self.keras].rows[self.name].compute(tuple(shape), dtype, **config)
        return result


def _without_dtype(value: Any) -> Any:
    """Return a value without the dtype that TensorFlow 1 wrote, which Keras 2 reads and does not use."""
    config = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(config, Mapping) or "dtype" not in config:
        return value
    return {**value, "config": {key: of for key, of in config.items() if key != "dtype"}}


def _initialize_fn(values: np.ndarray[Any, Any]) -> Function:
    def initialize_fn(shape: Shape, dtype: str) -> np.ndarray[Any, Any]:
        return values

    return initialize_fn


def _checked(made: Any, shape: Shape, dtype: str, name: str) -> Floats:
    """Return what a function made as a new array of a dtype."""
    array = real_array(made, name)
    if array.shape != tuple(shape):
        raise ShapeError(f"{name}: wrong shape: got {array.shape}, expected {tuple(shape)}")
    return array.astype(dtype, order="C", copy=True)


def stream_seed(seed: int, layer: str, weight: str) -> int:
    """Return the seed of one weight of one layer: a 64-bit hash of the run's seed and both names.

    So each weight has random numbers of its own, and adding a layer leaves those of the others as they are.

    >>> stream_seed(0, "conv3d", "kernel") == stream_seed(0, "conv3d", "bias")
    False
    """
    import hashlib

    digest = hashlib.sha256(f"{seed}\n{layer}\n{weight}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
