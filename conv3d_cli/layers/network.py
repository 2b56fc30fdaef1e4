"""A network: layers in a row, each taking the output of the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
from numpy.typing import ArrayLike

from conv3d_cli.errors import LayerError, ShapeError, nearest
from conv3d_cli.kinds import COUNT
from conv3d_cli.layers.conv3d import Conv3D
from conv3d_cli.layers.keras_json import FORMATS
from conv3d_cli.layers.layer import Array, Layer, Shape, Sizes, shape_of
from conv3d_cli.layers.passing import InputLayer
from conv3d_cli.named import default_name


class Network:
    """Layers in a row, with unique names, one data format, and channels that fit together.

    Layers without a name are named after their class: ``conv3d``, ``conv3d_1`` and so on, skipping names that
    are taken. Raises LayerError for a name given twice or mixed data formats, ShapeError for channels that do
    not fit.

    >>> network = Network([Conv3D(8, 3), Conv3D(2, 3, name="last"), Conv3D(1, 1)])
    >>> [layer.name for layer in network]
    ['conv3d', 'last', 'conv3d_1']
    >>> network.compute_output_shape((1, 9, 9, 9, 1))
    (1, 5, 5, 5, 1)
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise LayerError("layers: none: got an empty list, expected at least one layer", "layers")
        _name(self.layers)
        for layer in self.layers:
            if isinstance(layer, InputLayer):
                layer.channel_axis = -1 if self.data_format == FORMATS[0] else -4
        _check_format(self.layers)
        _check_channels(self.layers, self.data_format)

    def __iter__(self) -> Iterator[Layer]:
        """Return the layers, first to last."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def __getitem__(self, key: int | str) -> Layer:
        """Return a layer by its place or its name; raises IndexError, or KeyError with the known names."""
        if isinstance(key, int):
            return self.layers[key]
        named = {layer.name: layer for layer in self.layers}
        if key not in named:
            raise KeyError(f"no layer {key!r}, there are {', '.join(named)}{nearest(key, named)}")
        return named[key]

    @property
    def data_format(self) -> str:
        """Where the channels are: channels_last or channels_first."""
        return next((layer.needed_format for layer in self.layers if layer.needed_format), FORMATS[0])

    @property
    def built(self) -> bool:
        """Whether every layer has its weights."""
        return all(layer.built for layer in self.layers)

    @property
    def losses(self) -> list[float]:
        """The losses of all layers' regularizers, first layer first."""
        return [loss for layer in self.layers for loss in layer.losses]

    def build(self, input_shape: int | Sequence[int | None] | None = None, seed: int = 0) -> None:
        """Make the weights of every layer for an input of a shape, or for a number of channels.

        Without ``input_shape`` the ``batch_input_shape`` of the first layer is taken. Initializers without a
        seed draw from streams of ``seed``, one for each weight. Raises ShapeError if a layer cannot take its
        input.

        >>> network = Network([Conv3D(8, 3), Conv3D(2, 3)])
        >>> network.build(1)
        >>> network.count_params()
        658
        """
        for layer, shape in self._inputs(input_shape):
            layer.build(shape, seed)

    def weight_shapes(self, input_shape: int | Sequence[int | None] | None = None) -> dict[str, dict[str, Sizes]]:
        """Return the shape of every weight by layer and name, for an input of a shape or a number of channels.

        Layers without weights are left out.

        >>> layers = [Conv3D(8, 3, name="edges"), Conv3D(2, 1, name="mix", use_bias=False)]
        >>> Network(layers).weight_shapes(1)
        {'edges': {'kernel': (3, 3, 3, 1, 8), 'bias': (8,)}, 'mix': {'kernel': (1, 1, 1, 8, 2)}}
        """
        shapes = {layer.name: dict(layer.weight_shapes(shape)) for layer, shape in self._inputs(input_shape)}
        return {name: weights for name, weights in shapes.items() if weights}

    def count_params(self) -> int:
        """Return the number of weights of all layers; raises LayerError before they are built."""
        return sum(layer.count_params() for layer in self.layers)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the last layer's output; raises ShapeError if a layer cannot take its input."""
        shape = tuple(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def project(self) -> None:
        """Replace every weight that has a constraint by its projection; raises LayerError before they are built."""
        for layer in self.layers:
            layer.project()

    def __call__(self, inputs: ArrayLike) -> Array:
        """Return the output of the last layer; raises what the layers raise.

        >>> import numpy as np
        >>> Network([Conv3D(8, 3), Conv3D(2, 3)])(np.zeros((1, 5, 5, 5, 1))).shape
        (1, 1, 1, 1, 2)
        """
        first, *others = self.layers
        if (shape := getattr(inputs, "shape", None)) is not None:
            self.compute_output_shape(shape)
        y = first(inputs)
        for layer in others:
            y = layer(y)
        return y

    def _inputs(self, given: int | Sequence[int | None] | None) -> Iterator[tuple[Layer, Shape]]:
        """Yield every layer with the shape of its input."""
        first = self.layers[0]
        if isinstance(given, (int, np.integer)):
            shape = shape_of(COUNT.read("channels", given), self.data_format)
        else:
            shape = first.shape_to_build(given)
        for layer in self.layers:
            yield layer, shape
            shape = layer.compute_output_shape(shape)


def _name(layers: tuple[Layer, ...]) -> None:
    taken: set[str] = set()
    for layer in layers:
        if layer.named:
            if layer.name in taken:
                raise LayerError(f"name: given twice: got {layer.name!r}, expected a name for each layer", "name")
            taken.add(layer.name)
    if len({id(layer) for layer in layers}) < len(layers):
        raise LayerError("layers: the same layer stands twice, expected a layer of its own in each place", "layers")
    for layer in layers:
        if not layer.named:
            base = default_name(layer.class_name)
            names = (base if i == 0 else f"{base}_{i}" for i in count())
            layer.name = next(name for name in names if name not in taken)
            taken.add(layer.name)


def _check_format(layers: tuple[Layer, ...]) -> None:
    first, *others = [layer for layer in layers if layer.needed_format] or layers[:1]
    for layer in others:
        if layer.needed_format != first.needed_format:
            raise LayerError(
                f"data_format: mixed: got {first.data_format} for {first.name!r} and {layer.data_format} for "
                f"{layer.name!r}, expected one for all layers",
                "data_format",
            )


def _check_channels(layers: tuple[Layer, ...], data_format: str) -> None:
    """Compare the channels that each convolution makes, by way of what follows it, with what the next one takes."""
    axis = -1 if data_format == FORMATS[0] else -4
    maker, shape = "", None
    for layer in layers:
        if isinstance(layer, Conv3D):
            if shape is not None and (channels := shape[axis]) is not None:
                _check_fit(maker, channels, layer)
            maker, shape = layer.name, layer.activation.output_shape(shape_of(layer.filters, data_format))
        elif shape is not None:
            shape = layer.compute_output_shape(shape)


def _check_fit(maker: str, channels: int, layer: Conv3D) -> None:
    if channels % layer.groups:
        raise ShapeError(
            f"groups: of {layer.name!r} do not divide the channels that {maker!r} makes: "
            f"got {layer.groups} groups and {channels} channels, expected a divisor of {channels}",
            "groups",
        )
    expected = layer.channels or layer.declared_channels
    if expected is not None and expected != channels:
        raise ShapeError(
            f"filters: of {maker!r} do not match the channels that {layer.name!r} takes: "
            f"got {channels}, expected {expected}",
            "filters",
        )
