"""The layer Magnitude: the length of the vector that a few channels make, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from conv3d_cli.errors import ShapeError
from conv3d_cli.frozen import frozen
from conv3d_cli.kinds import COUNT
from conv3d_cli.layers.activations import Activation
from conv3d_cli.layers.layer import Array, Layer, Shape
from conv3d_cli.layers.signature import COMMON, COMMON_RULES, DATA_FORMAT, Signature, of_kind
from conv3d_cli.layers.weighted import about


@frozen
class Length(Activation):
    """``sqrt(x1^2 + x2^2 + ...)`` over every ``parts`` neighbours along an axis, which becomes as much shorter."""

    name: str = "magnitude"
    parts: int = 3
    along: int = -1

    @property
    def axes(self) -> tuple[int, ...]:
        """The axis along which values are mixed."""
        return (self.along,)

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the shape of the input: with one part."""
        return self.parts == 1

    def output_shape(self, shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output; raises ShapeError where the parts do not divide the channels."""
        at = self.along % len(shape)
        size = shape[at]
        if size is not None and size % self.parts:
            raise ShapeError(f"parts: do not divide the channels: got {self.parts} for {size}, expected a divisor")
        return (*shape[:at], None if size is None else size // self.parts, *shape[at + 1 :])

    def written(self, keras: int | None = None) -> Any:
        """Return the name: the layer is written with its own arguments."""
        return self.name

    def __call__(self, x: Array, out: Array | None = None, weights: Any = None) -> Array:
        """Return the lengths in x's type, in ``out`` if that is given."""
        result = np.empty([n for n in self.output_shape(x.shape) if n is not None], x.dtype) if out is None else out
        at = self.along % x.ndim
        with np.errstate(all="ignore"):
            for part in range(self.parts):
                which = [slice(None)] * x.ndim
                which[at] = slice(part, None, self.parts)
                squares = np.square(x[tuple(which)], out=result if part == 0 else None)
                if part:
                    result += squares
            np.sqrt(result, out=result)
        return result


class Magnitude(Layer):
    """A layer whose channels are the lengths of vectors: each of ``parts`` neighbouring channels of the input.

    It follows a Conv3D whose filters are the components, of a gradient say. Keras has no layer like it.

    >>> x = np.array([3.0, 4.0, 6.0, 8.0]).reshape(1, 1, 1, 1, 4)
    >>> Magnitude(2)(x).ravel().tolist()
    [5.0, 10.0]
    """

    class_name: ClassVar[str] = "Magnitude"
    signature: ClassVar[Signature] = Signature(
        "Magnitude",
        {
            "parts": of_kind("parts", COUNT, "channels that make one vector", 3),
            "data_format": DATA_FORMAT,
            **COMMON,
        },
        COMMON_RULES,
    )
    activation: Length
    parts: int
    data_format: str

    def __init__(self, *args: Any, keras: int = 2, **config: Any) -> None:
        super().__init__(*args, keras=keras, **config)
        along = -1 if self.data_format == "channels_last" else -4
        self.activation = Length(keras=keras, parts=self.parts, along=along)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the output; raises ShapeError where the parts do not divide the channels."""
        shape = self.checked_shape(input_shape)
        with about(f"layer {self.name!r}"):
            return self.activation.output_shape(shape)

    def compute(self, x: Array) -> Array:
        """Return the lengths: a new array."""
        return self.activation(x)
