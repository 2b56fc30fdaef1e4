"""Filters as a network: a Conv3D for each, over every channel of a volume on its own, in the volume's own voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from conv3d_cli.errors import LayerError, UsageError
from conv3d_cli.filters import Filter, Grid, Loaded
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.layers.initializers import Filtered
from conv3d_cli.paths import joined
from conv3d_cli.pipeline.arrange import Arrangement
from conv3d_cli.volumes import load_volume, resolve_axes, spatial

if TYPE_CHECKING:
    from conv3d_cli.layers import Layer
    from conv3d_cli.pipeline.plan import Header
    from conv3d_cli.volumes import Geometry


def kernels_in(folder: str = "") -> Callable[[str], Loaded]:
    """Return a function that reads the file of a custom kernel, by a name that is relative to a folder."""

    def load(name: str) -> Loaded:
        volume = load_volume(joined(folder, name), dtype="float64")
        spacing, unit = (None, "mm") if volume.geometry is None else (volume.geometry.spacing, volume.geometry.unit)
        along = None if spacing is None else [spacing["xyz".index(axis)] for axis in spatial(volume.axes)]
        return Loaded(volume.array, volume.axes, None if along is None else (along[0], along[1], along[2]), unit)

    return load


def grid_of(geometry: Geometry | None, axes: str, load: Callable[[str], Loaded]) -> Grid:
    """Return how the voxels of a volume lie along a layer's dimensions, whose letters are ``axes``."""
    if geometry is None:
        return Grid(axes, load=load)
    return Grid.of(geometry.affine[:3, :3], geometry.unit, axes, load)


def filter_network(
    filters: Sequence[Filter],
    header: Header,
    axes: str | None = None,
    dtype: str = "float32",
    load: Callable[[str], Loaded] | None = None,
) -> Network:
    """Return the network of a chain of filters for the volume that ``header`` describes, with its weights.

    Each filter acts on every channel on its own, with padding "same", and gives a channel for each of its
    parts; a magnitude makes one of them again. UsageError where a filter does not fit the volume.

    >>> class Header:
    ...     format, shape, order = "npy", (8, 9, 10, 2), "C"
    ...     geometry_for = lambda self, axes: None
    >>> [layer.name for layer in filter_network([Filter.parse("gaussian:sigma=1vox"), Filter.parse("sobel")], Header())]
    ['gaussian', 'sobel', 'sobel_magnitude']
    """
    letters = resolve_axes(header.format, len(header.shape), axes)
    place = Arrangement(letters, tuple(header.shape), header.order)
    grid = grid_of(header.geometry_for(letters), place.space, load or kernels_in())
    channels = place.channels
    layers: list[Layer] = []
    for filter in filters:  # noqa: A001 - the word of the domain
        try:
            kernel = filter.kernel(grid)
        except LayerError as error:
            raise UsageError(f"--filter: {error}") from None
        parts = len(kernel.parts)
        layer = Conv3D(
            channels * parts,
            kernel.size,
            padding="same",
            data_format="channels_last",
            groups=channels,
            use_bias=False,
            kernel_initializer=Filtered.made(filter),
            name=_free(filter.name, layers),
            dtype=dtype,
        )
        layer.grid = grid
        layer.build(channels)
        layers.append(layer)
        if filter.magnitude:
            from conv3d_cli.layers import Magnitude

            layers.append(Magnitude(parts, name=_free(f"{filter.name}_magnitude", layers), data_format="channels_last"))
        else:
            channels *= parts
    return Network(layers)


def _free(name: str, layers: Sequence[Layer]) -> str:
    taken = {layer.name for layer in layers}
    names = [name, *(f"{name}_{i}" for i in range(1, len(layers) + 1))]
    return next(candidate for candidate in names if candidate not in taken)
