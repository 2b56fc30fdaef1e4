"""The layer Conv3D, as ``tf.keras.layers.Conv3D`` 2.4 defines it: weights, call, losses, gradients, configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from conv3d_cli.engine import Limits, convolve_array
from conv3d_cli.layers.activations import Activation
from conv3d_cli.layers.arguments import CONV3D
from conv3d_cli.layers.geometry import ConvGeometry
from conv3d_cli.layers.initializers import Initializer
from conv3d_cli.layers.layer import COMPUTED_IN, Array, dialect_of, mapping_of
from conv3d_cli.layers.signature import Signature
from conv3d_cli.layers.weighted import about

if TYPE_CHECKING:
    from conv3d_cli.layers.constraints import Constraint
    from conv3d_cli.layers.gradients import Gradients
    from conv3d_cli.layers.regularizers import Regularizer


class Conv3D(ConvGeometry):
    """A layer that convolves volumes: ``activation(cross-correlation(inputs, kernel) + bias)``.

    Inputs are ``batch_shape + (d1, d2, d3, C)``, or ``batch_shape + (C, d1, d2, d3)`` for channels_first,
    with at least one batch axis. Sizes are in voxels. The arguments are those of ``tf.keras.layers.Conv3D``,
    its ``name``, ``dtype``, ``trainable``, ``input_shape`` and ``batch_input_shape`` among them; ``keras=3``
    takes the names and formulas of Keras 3, ``dialect="torch"`` PyTorch's paddings and rules. With ``flip`` the
    kernel is turned around along its three spatial axes, which makes the layer a true convolution, that of
    ``scipy.ndimage.convolve``; the weights themselves stay as they are given. ``boundary`` says what the padding
    holds, zeros or one of ``scipy.ndimage``'s modes: "reflect", "mirror", "nearest", "wrap" or "constant:3.5". float16
    layers compute in float32. Raises LayerError (a ValueError) for a value that is refused and UnknownArgument (a
    TypeError) for an argument that there is not.

    >>> import numpy as np
    >>> layer = Conv3D(2, 3, activation="relu")
    >>> layer(np.ones((4, 28, 28, 28, 1))).shape
    (4, 26, 26, 26, 2)
    >>> Conv3D(1, 3, dialect="torch", padding=((1, 1), (0, 2), (0, 0)), strides=2, dilation_rate=2).padding
    ((1, 1), (0, 2), (0, 0))
    >>> Conv3D(0, 3)
    Traceback (most recent call last):
    conv3d_cli.errors.LayerError: filters: below 1: got 0, expected a whole number of at least 1
    """

    class_name: ClassVar[str] = "Conv3D"
    signature: ClassVar[Signature] = CONV3D
    lists_activity: ClassVar[bool] = True

    activation: Activation
    use_bias: bool
    kernel_initializer: Initializer
    bias_initializer: Initializer
    kernel_regularizer: Regularizer | None
    bias_regularizer: Regularizer | None
    kernel_constraint: Constraint | None
    bias_constraint: Constraint | None
    dialect: str
    flip: bool
    boundary: str

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
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        keras: int = 2,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in CONV3D.arguments}
        super().__init__(keras=keras, **given, **kwargs)

    def __repr__(self) -> str:
        """Return the call that makes the layer, as far as it identifies it."""
        return f"Conv3D({self.filters}, {self.kernel_size}, name={self.name!r})"

    @property
    def kernel(self) -> Array | None:
        """The kernel, ``(kd, kh, kw, C / groups, filters)``, or None before the layer is built."""
        return self.variables.get("kernel")

    def taps(self, dtype: str) -> Array:
        """Return the kernel in a type as it is correlated with the input: turned around with ``flip``.

        >>> import numpy as np
        >>> layer = Conv3D(1, (1, 1, 3), flip=True, use_bias=False)
        >>> layer.build(1)
        >>> layer.set_weights([np.reshape([1.0, 2.0, 3.0], (1, 1, 3, 1, 1))])
        >>> layer.taps("float32").ravel().tolist()
        [3.0, 2.0, 1.0]
        """
        kernel = self.variables["kernel"].astype(dtype, copy=False)
        return turned(kernel) if self.flip else kernel

    @property
    def computing(self) -> dict[str, Array]:
        """The weights by name as the layer computes with them."""
        return super().computing | {"kernel": self.taps(COMPUTED_IN[self.dtype])}

    @property
    def bias(self) -> Array | None:
        """The bias, ``(filters,)``, or None without one or before the layer is built."""
        return self.variables.get("bias")

    @property
    def initializers(self) -> dict[str, Initializer]:
        """What makes the kernel, the bias, and the activation's weights."""
        own = {"kernel": self.kernel_initializer, "bias": self.bias_initializer}
        return own | self.activation.initializers

    @property
    def regularizers(self) -> dict[str, Regularizer | None]:
        """What each weight is charged by."""
        own = {"kernel": self.kernel_regularizer, "bias": self.bias_regularizer}
        return own | self.activation.regularizers

    @property
    def constraints(self) -> dict[str, Constraint | None]:
        """What each weight should satisfy."""
        own = {"kernel": self.kernel_constraint, "bias": self.bias_constraint}
        return own | self.activation.constraints

    def weight_shapes(self, input_shape: Sequence[int | None]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of kernel, bias and the activation's weights for an input of a shape."""
        shapes: dict[str, tuple[int, ...]] = {"kernel": self.kernel_shape(self.known_channels(input_shape))}
        if self.use_bias:
            shapes["bias"] = (self.filters,)
        convolved = self.convolved_shape(input_shape, None)
        with about(f"layer {self.name!r}"):
            self.activation.output_shape(convolved)
            return shapes | self.activation.weight_shapes(convolved)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the output for that of an input; None stands for a size that is not known.

        Raises ShapeError if the layer cannot take such an input.

        >>> Conv3D(2, 3).compute_output_shape((4, 7, 28, 28, 28, 1))
        (4, 7, 26, 26, 26, 2)
        >>> Conv3D(2, 3, padding="same", strides=2).compute_output_shape((None, None, 28, 27, 1))
        (None, None, 14, 14, 2)
        """
        convolved = self.convolved_shape(input_shape, self.channels)
        with about(f"layer {self.name!r}"):
            return self.activation.output_shape(convolved)

    def compute(self, x: Array) -> Array:
        """Return the output for an input of the type that the layer computes in."""
        y = self.convolved(x)
        return self.activation(y, out=y if self.activation.keeps_shape else None, weights=self.computing)

    def convolved(self, x: Array) -> Array:
        """Return what the activation is applied to; raises ShapeError if the layer cannot take such an input."""
        weights = self.computing
        problem, limits = self.problem(x.shape), Limits.detect()
        bias = weights.get("bias")
        return convolve_array(problem, x, weights["kernel"], bias, channels_last=self.channels_last, limits=limits)

    def gradients(self, x: ArrayLike, upstream: ArrayLike) -> Gradients:
        """Return the gradients of ``sum(upstream * layer(x))`` for input, kernel and bias.

        ``upstream`` has the shape of the layer's output. Raises ShapeError if a shape does not fit, LayerError
        for an activation without a known derivative.

        >>> import numpy as np
        >>> layer = Conv3D(1, 2, kernel_initializer="ones")
        >>> found = layer.gradients(np.ones((1, 3, 3, 3, 1)), np.ones((1, 2, 2, 2, 1)))
        >>> found.input.shape, float(found.kernel[0, 0, 0, 0, 0]), float(found.bias[0])
        ((1, 3, 3, 3, 1), 8.0, 8.0)
        """
        from conv3d_cli.layers.gradients import gradients

        return gradients(self, x, upstream)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as Keras writes it; ``from_config`` makes an equal layer of it.

        A layer with PyTorch's rules has its ``dialect`` beside Keras's arguments, a true convolution ``flip``,
        one with a boundary other than zero ``boundary``.

        >>> Conv3D(8, 3).get_config()["kernel_initializer"]
        {'class_name': 'GlorotUniform', 'config': {'seed': None}}
        """
        config = super().get_config()
        if self.dialect == "keras":
            del config["dialect"]
        if not self.flip:
            del config["flip"]
        if self.boundary == "zero":
            del config["boundary"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], keras: int | None = None) -> Conv3D:
        """Return the layer of a configuration; raises as the constructor does.

        Without ``keras`` the dialect is the one that the configuration is written in.

        >>> Conv3D.from_config({"filters": 8, "kernel_size": [3, 3, 3]}).kernel_size
        (3, 3, 3)
        """
        arguments = mapping_of(config)
        dialect = dialect_of(arguments) if keras is None else keras
        CONV3D.read(arguments, dialect)
        return cls(**arguments, keras=dialect)


Convolution3D = Conv3D
"""Keras's other name of the layer."""


def turned(kernel: Array) -> Array:
    """Return a kernel ``(kd, kh, kw, channels, filters)`` turned around along its spatial axes."""
    return np.ascontiguousarray(kernel[::-1, ::-1, ::-1])
