"""The shapes of a convolution layer: what it takes, what it gives, and what it asks of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.problem import Problem, Real
from conv3d_cli.errors import ShapeError
from conv3d_cli.layers.layer import COMPUTED_IN, Layer, Shape
from conv3d_cli.shapes import NO_PADS, Pads, Triple, effective, output_size, same_padding, voxels


class ConvGeometry(Layer):
    """The geometric arguments of a convolution in canonical form, and the shape rules that follow from them."""

    filters: int
    kernel_size: Triple
    strides: Triple
    padding: str | Pads
    data_format: str
    dilation_rate: Triple
    groups: int
    boundary: str

    @property
    def channels_last(self) -> bool:
        """Whether the channels are the last axis."""
        return self.data_format == "channels_last"

    @property
    def declared_channels(self) -> int | None:
        """Channels of ``batch_input_shape``, or None if it says nothing of them."""
        shape = self.batch_input_shape
        return None if shape is None else shape[-1 if self.channels_last else -4]

    @property
    def channels(self) -> int | None:
        """Channels of the input, once the layer is built."""
        kernel = self.variables.get("kernel")
        return None if kernel is None else int(kernel.shape[3]) * self.groups

    def kernel_shape(self, channels: int) -> tuple[int, int, int, int, int]:
        """Return the kernel's shape for so many input channels: ``(kd, kh, kw, C / groups, filters)``.

        >>> from conv3d_cli.layers import Conv3D
        >>> Conv3D(8, 3, groups=2).kernel_shape(4)
        (3, 3, 3, 2, 8)
        """
        self._check_groups(channels, None)
        return (*self.kernel_size, channels // self.groups, self.filters)

    def pads(self, size: Triple) -> Pads:
        """Return the voxels read before and after each axis of an input with so many voxels.

        >>> from conv3d_cli.layers import Conv3D
        >>> Conv3D(1, (2, 3, 4), padding="same").pads((6, 6, 6))
        ((0, 1), (1, 1), (1, 2))
        """
        d, h, w = (self._pair(i, n) for i, n in enumerate(size))
        return d, h, w

    def convolved_shape(self, input_shape: Sequence[int | None], channels: int | None) -> Shape:
        """Return the shape of what the activation is applied to; None stands for a size that is not known.

        Raises ShapeError if the layer, made for so many channels if that is known, cannot take such an input.
        """
        batch, size, _ = self.split_shape(input_shape, channels)
        out = tuple(self._output_size(i, n, input_shape) for i, n in enumerate(size))
        return (*batch, *out, self.filters) if self.channels_last else (*batch, self.filters, *out)

    def problem(self, input_shape: Sequence[int]) -> Problem:
        """Return what the engine has to serve for an input of a shape, its batch axes multiplied together.

        Raises ShapeError if the layer cannot take such an input.

        >>> from conv3d_cli.layers import Conv3D
        >>> Conv3D(2, 3).problem((4, 7, 28, 28, 28, 1)).output_shape
        (28, 2, 26, 26, 26)
        """
        self.convolved_shape(input_shape, self.channels)
        batch, size, channels = self.split_shape(input_shape, self.channels)
        if channels is None or None in batch or None in size:
            raise ShapeError(
                f"layer {self.name!r}: input shape not known: got {tuple(input_shape)}, expected whole numbers"
            )
        known = cast("Triple", size)
        return Problem(
            size=known,
            kernel=self.kernel_size,
            strides=self.strides,
            dilation=self.dilation_rate,
            padding=self.pads(known),
            batch=voxels(cast("tuple[int, ...]", batch)),
            channels=channels,
            filters=self.filters,
            groups=self.groups,
            dtype=cast("Real", COMPUTED_IN[self.dtype]),
            boundary=Boundary.parse(self.boundary),
        )

    def split_shape(self, shape: Sequence[int | None], channels: int | None) -> tuple[Shape, Shape, int | None]:
        """Return batch shape, size and channels of an input shape.

        Raises ShapeError for too few axes, for channels that groups do not divide, and for channels other
        than ``channels`` or the declared ones, where those are known.
        """
        shape = self.checked_shape(shape)
        axis = -1 if self.channels_last else -4
        found, expected = shape[axis], channels or self.declared_channels
        if found is not None:
            self._check_groups(found, shape)
            if expected is not None and found != expected:
                raise ShapeError(
                    f"layer {self.name!r}: wrong number of channels on axis {axis} of the input: "
                    f"got {found}{_within(shape)}, expected {expected}"
                )
        return shape[:-4], shape[-4:-1] if self.channels_last else shape[-3:], found

    def known_channels(self, shape: Sequence[int | None]) -> int:
        """Return the channels of an input shape; raises ShapeError if it does not say them."""
        known = self.split_shape(shape, None)[2] or self.declared_channels
        if known is None:
            raise ShapeError(f"layer {self.name!r}: number of channels not known: got {tuple(shape)}, expected it")
        return known

    def _check_groups(self, channels: int, shape: Shape | None) -> None:
        if channels < 1 or channels % self.groups:
            raise ShapeError(
                f"layer {self.name!r}: the input's channels do not divide into groups: "
                f"got {channels} channels{_within(shape)}, expected a multiple of groups {self.groups}"
            )

    def _output_size(self, i: int, size: int | None, shape: Sequence[int | None]) -> int | None:
        if size is None:
            return None
        k, s, d = self.kernel_size[i], self.strides[i], self.dilation_rate[i]
        outputs = output_size(size, k, s, d, self._pair(i, size))
        if outputs < 0:
            axis = len(shape) - (4 if self.channels_last else 3) + i
            raise ShapeError(
                f"layer {self.name!r}: kernel larger than the input along axis {axis}: "
                f"got {size} voxels, effective kernel {effective(k, d)}, stride {s}, in {tuple(shape)}, "
                f"expected at least {effective(k, d) - s} voxels"
            )
        return outputs

    def _pair(self, i: int, size: int) -> tuple[int, int]:
        """Return the voxels read before and after one axis."""
        if not isinstance(self.padding, str):
            return self.padding[i]
        if self.padding == "valid":
            return NO_PADS[i]
        return same_padding(size, self.kernel_size[i], self.strides[i], self.dilation_rate[i])


def _within(shape: Shape | None) -> str:
    """Return the shape that a message is about, where more of it is known than the channels."""
    return f" in {shape}" if shape is not None and sum(size is not None for size in shape) > 1 else ""
