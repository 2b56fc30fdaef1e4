"""Whether another file lies on the grid of a volume: as many voxels along each axis of space, at the same places."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Protocol

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.volumes.axes import resolve_axes, spatial

if TYPE_CHECKING:
    from conv3d_cli.volumes.geometry import Geometry
    from conv3d_cli.volumes.source import Source

CLOSE = 1e-3
"""Distance that the same voxel may lie apart, as a share of the smallest side of a voxel."""


class Grid(Protocol):
    """What a grid is known by: an opened volume has it, and so has a bare shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return where the voxels lie, once the axes have their letters."""


def on_grid(other: Source, grid: Grid, axes: str, name: str) -> tuple[int, ...]:
    """Return which axes of another file are those of space of a volume, in their order; its other axes have length 1.

    ``axes`` are the volume's, ``name`` is what an error calls it. A .npy file does not say what its axes are: they
    stand in the volume's order. VolumeError where the other file does not lie on the same grid.
    """
    space = spatial(axes)
    size = tuple(grid.shape[axes.index(letter)] for letter in space)
    own = _axes(other, space)
    order = tuple(own.index(letter) for letter in space)
    found = tuple(other.shape[axis] for axis in order)
    if found != size or prod(found) != prod(other.shape):
        raise VolumeError(
            f"{quoted(other.ref)}: does not have the shape of {name}: got {_times(other.shape)} {own}, expected "
            f"{_times(tuple(size[space.index(letter)] for letter in own if letter in space))} "
            f"{''.join(letter for letter in own if letter in space)}"
        )
    first, second = grid.geometry_for(axes), other.geometry_for(own)
    if first is not None and second is not None:
        if getattr(grid, "oriented", True) != other.oriented:
            first, second = first.unplaced(), second.unplaced()
        along = [size[space.index(letter)] for letter in "xyz"]
        apart, allowed = first.apart(second, along), CLOSE * min(first.spacing)
        if apart > allowed:
            raise VolumeError(
                f"{quoted(other.ref)}: does not lie where {name} lies: the same voxel is {apart:.4g} "
                f"{_unit(first)} apart, expected at most {allowed:.2g}: got {_where(second)}, expected {_where(first)}"
            )
    return order


def _axes(other: Source, space: str) -> str:
    """Return a letter for each axis of a file that holds one volume; b for those beside the first three of a .npy."""
    if other.format == "npy" and len(other.shape) >= len(space):
        return space + "b" * (len(other.shape) - len(space))
    return resolve_axes(other.format, len(other.shape))


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _unit(geometry: Geometry) -> str:
    return "units" if geometry.unit == "unknown" else geometry.unit


def _where(geometry: Geometry) -> str:
    """Return what tells one affine from another, on one line."""
    rows = "; ".join(" ".join(f"{value:.6g}" for value in row) for row in geometry.affine[:3])
    return f"affine [{rows}] {_unit(geometry)}"
