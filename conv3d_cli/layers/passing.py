"""Layers that leave their input as it is when a network is applied: its entrance, and what acts in training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.kinds import NOT_NEGATIVE, SEED, Kind, RefusedError, real_array, shown, sizes
from conv3d_cli.layers.layer import Array, Layer, Shape
from conv3d_cli.layers.signature import BATCH_SHAPE, COMMON, COMMON_RULES, DATA_FORMAT, Argument, Signature, of_kind


class Passing(Layer):
    """A layer whose output is its input, of whatever real type that is."""

    @property
    def needed_format(self) -> None:
        """No format: the values stay as they are wherever the channels are."""
        return None

    def __call__(self, inputs: ArrayLike) -> Array:
        """Return a C-contiguous copy of the input; raises LayerError or ShapeError for what is no input."""
        x = real_array(inputs, f"layer {self.name!r}: input")
        self.build(x.shape)
        self._activity = self.activity_loss(x, x.shape[0])
        return np.array(x, order="C")


def _fraction(value: Any) -> float:
    number = float(NOT_NEGATIVE.parse(value))
    if number > 1:
        raise RefusedError("above 1")
    return number


def _off(value: Any) -> bool:
    if value is not False:
        raise RefusedError("not supported")
    return False


def _real(value: Any, _: int) -> str:
    name = "float32" if value is None else value
    try:
        real = isinstance(name, (str, type, np.dtype)) and np.dtype(name).kind in "biuf"
    except TypeError:
        real = False
    if not real:
        raise LayerError(f"dtype: not a real type: got {shown(value)}, expected for example float32 or uint8", "dtype")
    return str(np.dtype(name).name)


FRACTION = Kind("a number from 0 to 1", _fraction, {"type": "number", "minimum": 0, "maximum": 1})
OFF = Kind("false", _off, {"enum": [False]})

_BASE = ("name", "trainable", "batch_input_shape", "dtype")
_DRAWN = {3: (*_BASE, "rate", "seed", "noise_shape")}

_SHAPE = sizes(1, "those of the noise").or_none("that of the input")
_RATE = {"rate": of_kind("rate", FRACTION, "share of the values that training drops")}
_SEED = {"seed": of_kind("seed", SEED.or_none("none"), "seed of what training draws", None)}
_NOISE = {"noise_shape": of_kind("noise_shape", _SHAPE, "axes along which training draws", None)}


def _training_only(owner: str, arguments: Mapping[str, Argument]) -> Signature:
    return Signature(owner, {**arguments, **COMMON}, COMMON_RULES)


class Dropout(Passing):
    """Keras's Dropout, which acts in training only.

    >>> float(Dropout(0.5)(np.ones((1, 2, 2, 2, 1))).sum())
    8.0
    """

    class_name: ClassVar[str] = "Dropout"
    signature: ClassVar[Signature] = _training_only("Dropout", {**_RATE, **_NOISE, **_SEED})
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = _DRAWN


class AlphaDropout(Passing):
    """Keras's AlphaDropout, which acts in training only."""

    class_name: ClassVar[str] = "AlphaDropout"
    signature: ClassVar[Signature] = _training_only("AlphaDropout", {**_RATE, **_NOISE, **_SEED})
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = {2: (*_BASE, "rate"), **_DRAWN}


class SpatialDropout3D(Passing):
    """Keras's SpatialDropout3D, which acts in training only."""

    class_name: ClassVar[str] = "SpatialDropout3D"
    signature: ClassVar[Signature] = _training_only(
        "SpatialDropout3D", {**_RATE, "data_format": DATA_FORMAT, **_NOISE, **_SEED}
    )
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = {
        2: (*_BASE, "rate", "noise_shape", "seed"),
        3: ("rate", "seed", "name", "dtype", "data_format"),
    }

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it, Keras 3 with the name of the type alone."""
        return {**super().get_config(), "dtype": self.dtype}


class GaussianDropout(Passing):
    """Keras's GaussianDropout, which acts in training only."""

    class_name: ClassVar[str] = "GaussianDropout"
    signature: ClassVar[Signature] = _training_only("GaussianDropout", {**_RATE, **_SEED})
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = {2: (*_BASE, "rate")}


class GaussianNoise(Passing):
    """Keras's GaussianNoise, which acts in training only."""

    class_name: ClassVar[str] = "GaussianNoise"
    signature: ClassVar[Signature] = _training_only(
        "GaussianNoise", {"stddev": of_kind("stddev", NOT_NEGATIVE, "of the noise of training"), **_SEED}
    )
    written_keys: ClassVar[Mapping[int, tuple[str, ...]]] = {2: (*_BASE, "stddev")}


class InputLayer(Passing):
    """The entrance of a network: it declares the shape of what comes in.

    >>> InputLayer(batch_input_shape=(None, 8, 8, 8, 1)).compute_output_shape((2, 8, 8, 8, 1))
    (2, 8, 8, 8, 1)
    """

    class_name: ClassVar[str] = "InputLayer"
    signature: ClassVar[Signature] = Signature(
        "InputLayer",
        {
            "batch_shape": of_kind("batch_shape", BATCH_SHAPE, "Keras 3's name of batch_input_shape", None),
            "sparse": of_kind("sparse", OFF, "whether inputs are sparse", False),
            "ragged": of_kind("ragged", OFF, "whether inputs are ragged", False),
            "optional": of_kind("optional", OFF, "whether inputs may be missing", False),
            **{name: argument for name, argument in COMMON.items() if name != "activity_regularizer"},
            "dtype": Argument(None, _real, lambda: {"type": ["string", "null"]}, "type of what comes in"),
        },
        COMMON_RULES,
    )
    batch_shape: tuple[int | None, ...] | None

    def __init__(self, *args: Any, keras: int = 2, **config: Any) -> None:
        super().__init__(*args, keras=keras, **config)
        self.batch_input_shape = self.batch_input_shape or self.batch_shape
        self.channel_axis: int | None = None

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the input; raises ShapeError for channels other than the declared ones.

        Which axis they are on is known in a network. Other sizes are not compared: a network takes any volume.
        """
        shape, axis = self.checked_shape(input_shape), self.channel_axis
        declared = None if axis is None or self.batch_input_shape is None else self.batch_input_shape[axis]
        if axis is not None and declared is not None and shape[axis] not in (None, declared):
            raise ShapeError(
                f"layer {self.name!r}: wrong number of channels on axis {axis} of the input: "
                f"got {shape[axis]} in {shape}, expected {declared}"
            )
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it."""
        shape = "batch_shape" if self.keras == 3 else "batch_input_shape"
        config = {shape: self.batch_input_shape, "dtype": self.dtype, "sparse": False, "ragged": False}
        return {**config, "name": self.name, **({"optional": False} if self.keras == 3 else {})}
