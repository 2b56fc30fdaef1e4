"""Whether two volumes are the same: shape, values, place in the world, type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conv3d_cli.frozen import frozen
from conv3d_cli.volumes.axes import order_of
from conv3d_cli.volumes.deviation import Deviation, Tolerance, compare_values

if TYPE_CHECKING:
    from collections.abc import Collection

    from conv3d_cli.volumes.geometry import Geometry
    from conv3d_cli.volumes.source import Source

CHECKS = ("values", "geometry", "dtype")
"""What may make two volumes different; a shape always does."""


@frozen
class Comparison:
    """What was found of two volumes A and B.

    ``axes`` and ``geometry`` hold a value for each of them. ``values`` is None where the shapes differ or values are
    not asked for; ``apart`` is how far the same voxel lies apart at most, in A's unit, or None where a file says
    nothing of its place. ``found`` names everything that differs, ``different`` that of it which was asked for.
    """

    axes: tuple[str, str]
    geometry: tuple[Geometry | None, Geometry | None]
    values: Deviation | None
    apart: float | None
    found: tuple[str, ...]
    different: tuple[str, ...]
    notes: tuple[str, ...]


def compare_volumes(
    a: Source,
    b: Source,
    axes: tuple[str, str],
    tolerance: Tolerance,
    checks: Collection[str] = CHECKS[:2],
    limit_bytes: int | None = None,
) -> Comparison:
    """Return whether two opened volumes are the same within a tolerance, as far as ``checks`` ask.

    ``axes`` has a letter for each axis of either; they may stand in different orders. Raises VolumeError for damaged
    data, OverLimit if more than ``limit_bytes`` of memory would be needed.
    """
    found, notes = [], []
    if not _same_shape(a, b, axes):
        found.append("shape")
    geometry = first, second = a.geometry_for(axes[0]), b.geometry_for(axes[1])
    apart = None
    if first is None or second is None:
        if first is not second:
            notes.append(f"the geometry is not compared: {'A' if first is None else 'B'} has none")
    else:
        if a.oriented != b.oriented:
            first, second = first.unplaced(), second.unplaced()
            notes.append("HDF5 holds neither orientation nor origin: of the geometry, only the spacing is compared")
        apart = first.apart(second, [a.shape[axes[0].index(letter)] for letter in "xyz"])
        if apart > tolerance.voxels * min(first.spacing):
            found.append("geometry")
    if a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        found.append("dtype")
    values = None
    if "values" in checks and "shape" not in found:
        values = compare_values(a, b, axes, tolerance, limit_bytes)
        if values.beyond:
            found.append("values")
    different = tuple(name for name in found if name == "shape" or name in checks)
    return Comparison(axes, geometry, values, apart, tuple(found), different, tuple(notes))


def _same_shape(a: Source, b: Source, axes: tuple[str, str]) -> bool:
    if sorted(axes[0]) != sorted(axes[1]):
        return False
    return a.shape == tuple(b.shape[axis] for axis in order_of(*axes))
