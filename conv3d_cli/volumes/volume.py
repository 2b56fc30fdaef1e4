"""A volume in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.frozen import field, mutable
from conv3d_cli.volumes.axes import resolve_axes
from conv3d_cli.volumes.source import real

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conv3d_cli.volumes.geometry import Geometry


@mutable
class Volume:
    """Voxels with the meaning of their axes: one letter each of x y z (space), c (channels), t (time), b (batch).

    ``geometry`` maps voxels to the world, if that is known; ``format``, ``meta`` and
    ``notes`` are those of its file. ``provenance`` is a text on how it was made, for a file that can hold one; it is
    not read from a file, since what Python makes of the voxels meanwhile nobody knows.
    """

    array: NDArray[Any]
    axes: str
    geometry: Geometry | None = None
    format: str = "npy"
    meta: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: str | None = None

    def __post_init__(self) -> None:
        self.axes = resolve_axes("", self.array.ndim, self.axes)
        if not real(self.array.dtype):
            raise TypeError(f"volume: got dtype {self.array.dtype}, expected real numbers of at most 64 bits")
