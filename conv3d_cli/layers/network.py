"""A network: layers in a row, each taking the output of the one before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, pairwise

from numpy.typing import ArrayLike

from conv3d_cli.errors import LayerError, ShapeError, nearest
from conv3d_cli.layers.conv3d import DEFAULT_NAME, Array, Conv3D
from conv3d_cli.layers.geometry import Shape


class Network:
    """Layers in a row, with unique names, one data format, and channels that fit together.

    Layers without a name are named ``conv3d``, ``conv3d_1`` and so on, skipping names that are taken. Raises
    LayerError for a name given twice or mixed data formats, ShapeError for channels that do not fit.

    >>> network = Network([Conv3D(8, 3), Conv3D(2, 3, name="last"), Conv3D(1, 1)])
    >>> [layer.name for layer in network]
    ['conv3d', 'last', 'conv3d_1']
    >>> network.compute_output_shape((1, 9, 9, 9, 1))
    (1, 5, 5, 5, 1)
    """

    def __init__(self, layers: Sequence[Conv3D]) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise LayerError("layers: none: got an empty list, expected at least one layer", "layers")
        _name(self.layers)
        for first, second in pairwise(self.layers):
            _check_fit(first, second)

    def __iter__(self) -> Iterator[Conv3D]:
        """Return the layers, first to last."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def __getitem__(self, key: int | str) -> Conv3D:
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
        return self.layers[0].data_format

    @property
    def built(self) -> bool:
        """Whether every layer has weights."""
        return all(layer.built for layer in self.layers)

    def build(self, input_shape: int | Sequence[int | None] | None = None, seed: int = 0) -> None:
        """Make the weights of every layer for an input of a shape, or for a number of channels.

        Without ``input_shape`` the first layer's ``batch_input_shape`` is taken. Initializers without a seed
        draw from streams of ``seed``, one for each weight. Raises ShapeError if a layer cannot take its
        input.

        >>> network = Network([Conv3D(8, 3), Conv3D(2, 3)])
        >>> network.build(1)
        >>> network.count_params()
        658
        """
        first, *others = self.layers
        first.build(input_shape, seed)
        for before, layer in zip(self.layers, others, strict=False):
            layer.build(before.filters, seed)

    def count_params(self) -> int:
        """Return the number of weights of all layers; raises LayerError before they are built."""
        return sum(layer.count_params() for layer in self.layers)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the last layer's output; raises ShapeError if a layer cannot take its input."""
        shape = tuple(input_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        return shape

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


def _name(layers: tuple[Conv3D, ...]) -> None:
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
            names = (DEFAULT_NAME if i == 0 else f"{DEFAULT_NAME}_{i}" for i in count())
            layer.name = next(name for name in names if name not in taken)
            taken.add(layer.name)


def _check_fit(first: Conv3D, second: Conv3D) -> None:
    if first.data_format != second.data_format:
        raise LayerError(
            f"data_format: mixed: got {first.data_format} for {first.name!r} and {second.data_format} for "
            f"{second.name!r}, expected one for all layers",
            "data_format",
        )
    if first.filters % second.groups:
        raise ShapeError(
            f"groups: of {second.name!r} do not divide the channels that {first.name!r} makes: "
            f"got {second.groups} groups and {first.filters} channels, expected a divisor of {first.filters}",
            "groups",
        )
    expected = second.channels or second.declared_channels
    if expected is not None and expected != first.filters:
        raise ShapeError(
            f"filters: of {first.name!r} do not match the channels that {second.name!r} takes: "
            f"got {first.filters}, expected {expected}",
            "filters",
        )
