"""The layer Conv3D, as ``tf.keras.layers.Conv3D`` 2.4 defines it: weights, call, configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv3d_cli.engine import Limits, convolve_array
from conv3d_cli.errors import LayerError, OverLimit, ShapeError
from conv3d_cli.layers.activations import Activation
from conv3d_cli.layers.arguments import normalised
from conv3d_cli.layers.geometry import LayerGeometry, Shape
from conv3d_cli.layers.initializers import Initializer, stream_seed
from conv3d_cli.layers.kinds import SEED, cast_to, real_array
from conv3d_cli.shapes import Triple

Array: TypeAlias = NDArray[Any]

DEFAULT_NAME = "conv3d"
CONFIG = (
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "groups",
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
)
UNSET = (
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
"""Arguments that a configuration has, and that can only be None."""

MAKING = 3
"""Arrays of a kernel's size that exist while it is drawn and scaled."""


class Conv3D(LayerGeometry):
    """A layer that convolves volumes: ``activation(cross-correlation(inputs, kernel) + bias)``.

    Inputs are ``batch_shape + (d1, d2, d3, C)``, or ``batch_shape + (C, d1, d2, d3)`` for channels_first,
    with at least one batch axis. Sizes are in voxels. The arguments are those of ``tf.keras.layers.Conv3D``;
    the regularizers and constraints may only be None. Raises LayerError (a ValueError) for a value that is
    refused and UnknownArgument (a TypeError) for an argument that there is not.

    >>> layer = Conv3D(2, 3, activation="relu")
    >>> layer(np.ones((4, 28, 28, 28, 1))).shape
    (4, 26, 26, 26, 2)
    >>> Conv3D(0, 3)
    Traceback (most recent call last):
    conv3d_cli.errors.LayerError: filters: below 1: got 0, expected a whole number of at least 1
    """

    def __init__(
        self,
        filters: Any,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: Any = "valid",
        data_format: Any = None,
        dilation_rate: Any = (1, 1, 1),
        groups: Any = 1,
        activation: Any = None,
        use_bias: Any = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: None = None,
        bias_regularizer: None = None,
        activity_regularizer: None = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "kwargs")}
        values, found = normalised({**given, **kwargs})
        if found:
            raise found[0]
        self.filters: int = values["filters"]
        self.kernel_size: Triple = values["kernel_size"]
        self.strides: Triple = values["strides"]
        self.padding: str = values["padding"]
        self.data_format: str = values["data_format"]
        self.dilation_rate: Triple = values["dilation_rate"]
        self.groups: int = values["groups"]
        self.activation: Activation = values["activation"]
        self.use_bias: bool = values["use_bias"]
        self.kernel_initializer: Initializer = values["kernel_initializer"]
        self.bias_initializer: Initializer = values["bias_initializer"]
        self.named: bool = values["name"] is not None
        self.name: str = values["name"] or DEFAULT_NAME
        self.dtype: str = values["dtype"]
        self.trainable: bool = values["trainable"]
        one: Shape | None = values["input_shape"]
        self.batch_input_shape: Shape | None = values["batch_input_shape"] or (one and (None, *one))
        self.kernel: Array | None = None
        self.bias: Array | None = None

    def __repr__(self) -> str:
        """Return the call that makes the layer, as far as it identifies it."""
        return f"Conv3D({self.filters}, {self.kernel_size}, name={self.name!r})"

    @property
    def built(self) -> bool:
        """Whether the layer has weights."""
        return self.kernel is not None

    @property
    def channels(self) -> int | None:
        """Channels of the input, once built."""
        return None if self.kernel is None else int(self.kernel.shape[3]) * self.groups

    def build(self, input_shape: int | Sequence[int | None] | None = None, seed: int = 0) -> None:
        """Make the weights for an input of a shape, or for a number of channels.

        Without ``input_shape``, ``batch_input_shape`` is taken. Initializers without a seed draw from one
        that is derived from ``seed``, the layer's name and the weight's. Raises ShapeError if the layer
        cannot take such an input, OverLimit for weights that memory does not hold.

        >>> layer = Conv3D(8, 3)
        >>> layer.build((None, 64, 64, 64, 2), seed=1)
        >>> layer.kernel.shape
        (3, 3, 3, 2, 8)
        """
        seed = SEED.read("seed", seed)
        shape = self.kernel_shape(self.channels_to_build(input_shape))
        self._check_memory(shape)
        kernel = self.kernel_initializer.seeded(stream_seed(seed, self.name, "kernel"))
        bias = self.bias_initializer.seeded(stream_seed(seed, self.name, "bias"))
        self.kernel = kernel(shape, self.dtype)
        self.bias = bias((self.filters,), self.dtype) if self.use_bias else None

    @property
    def weights(self) -> list[Array]:
        """The kernel, and the bias if there is one; nothing before the layer is built."""
        return [w for w in (self.kernel, self.bias) if w is not None]

    def get_weights(self) -> list[Array]:
        """Return copies of the kernel, and of the bias if there is one."""
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set the kernel, and the bias if there is one, from copies cast to the layer's dtype.

        Raises LayerError before the layer is built, and ShapeError for another number of arrays or other
        shapes.

        >>> layer = Conv3D(2, 1)
        >>> layer.build(1)
        >>> layer.set_weights([np.ones((1, 1, 1, 1, 2)), [1]])
        Traceback (most recent call last):
        conv3d_cli.errors.ShapeError: layer 'conv3d': bias: wrong shape: got (1,), expected (2,)
        """
        if not self.built:
            raise LayerError(
                f"layer {self.name!r}: has no weights yet: got {len(weights)} arrays, expected build first"
            )
        expected = dict(zip(("kernel", "bias"), self.weights, strict=False))
        if len(weights) != len(expected):
            raise ShapeError(
                f"layer {self.name!r}: wrong number of weights: got {len(weights)}, expected {' and '.join(expected)}"
            )
        given = {}
        for (name, old), value in zip(expected.items(), weights, strict=True):
            array = real_array(value, f"layer {self.name!r}: {name}")
            if array.shape != old.shape:
                raise ShapeError(f"layer {self.name!r}: {name}: wrong shape: got {array.shape}, expected {old.shape}")
            given[name] = cast_to(array, self.dtype, copy=True)
        self.kernel, self.bias = given["kernel"], given.get("bias")

    def count_params(self) -> int:
        """Return the number of weights; raises LayerError before the layer is built.

        >>> layer = Conv3D(8, 3)
        >>> layer.build(2)
        >>> layer.count_params()
        440
        """
        if not self.built:
            raise LayerError(f"layer {self.name!r}: has no weights yet: got no input shape, expected build first")
        return sum(w.size for w in self.weights)

    def __call__(self, inputs: ArrayLike) -> Array:
        """Return the output, a new C-contiguous array of the layer's dtype; the inputs are not modified.

        Inputs of any real type are cast to the layer's dtype. A layer without weights is built first, with
        seed 0. Raises LayerError for values that are not real numbers, ShapeError if the layer cannot take
        such an input.

        >>> layer = Conv3D(1, 1, activation="sigmoid", data_format="channels_first")
        >>> float(layer(np.zeros((1, 1, 2, 2, 2), np.uint8)).max())
        0.5
        """
        x = real_array(inputs, f"layer {self.name!r}: input")
        problem = self.problem(x.shape)
        if self.kernel is None:
            self.build(x.shape)
        kernel = cast("Array", self.kernel)
        x = cast_to(x, self.dtype)
        y = convolve_array(problem, x, kernel, self.bias, channels_last=self.channels_last, limits=Limits.detect())
        return self.activation(y, out=y)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it; ``from_config`` makes an equal layer of it.

        >>> Conv3D(8, 3).get_config()["kernel_initializer"]
        {'class_name': 'GlorotUniform', 'config': {'seed': None}}
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if self.batch_input_shape is not None:
            config["batch_input_shape"] = self.batch_input_shape
        config["dtype"] = self.dtype
        config.update((name, getattr(self, name)) for name in CONFIG)
        for name in ("activation", "kernel_initializer", "bias_initializer"):
            config[name] = config[name].written()
        return config | dict.fromkeys(UNSET)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Conv3D:
        """Return the layer of a configuration; raises as the constructor does.

        >>> Conv3D.from_config({"filters": 8, "kernel_size": [3, 3, 3]}).kernel_size
        (3, 3, 3)
        """
        _, found = normalised(config)
        if found:
            raise found[0]
        return cls(**config)

    def _check_memory(self, shape: tuple[int, ...]) -> None:
        limits = Limits.detect()
        needed = MAKING * prod(shape) * np.dtype(self.dtype).itemsize
        if needed > limits.memory:
            raise OverLimit(
                f"layer {self.name!r}: not enough memory to make the kernel: got {limits.memory} bytes "
                f"({limits.memory_source}), expected at least {needed} for shape {shape}"
            )
