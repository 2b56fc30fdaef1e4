"""Where voxels lie in the world, and where those of a layer's output lie."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.frozen import frozen
from conv3d_cli.lengths import MICROMETRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@frozen(eq=False)
class Geometry:
    """The affine map from voxel indices (x, y, z) to the world, 4x4 float64, and the unit of the world.

    ``unit`` is "mm", "um", "m" or "unknown".

    >>> Geometry(np.diag([2.0, 2.0, 3.0, 1.0])).spacing
    (2.0, 2.0, 3.0)
    """

    affine: NDArray[np.float64]
    unit: str = "mm"

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or self.unit not in MICROMETRES:
            raise ValueError(f"geometry: got an affine of shape {affine.shape} in {self.unit!r}, expected (4, 4)")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along x, y and z: the norms of the affine's columns."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)).tolist()
        return (x, y, z)

    @property
    def origin(self) -> tuple[float, float, float]:
        """World position of the centre of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3].tolist()
        return (x, y, z)

    @property
    def sheared(self) -> bool:
        """Whether the axes are not at right angles, so that no rotation with spacings can express the affine."""
        columns = self.affine[:3, :3] / np.maximum(self.spacing, np.finfo(np.float64).tiny)
        return not np.allclose(columns.T @ columns, np.eye(3), atol=1e-4)

    def world(self, index: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
        """Return the world position of voxel centres, for indices (..., 3) in the order x, y, z.

        >>> Geometry(np.diag([2.0, 2.0, 3.0, 1.0])).world((1, 0, 1)).tolist()
        [2.0, 0.0, 3.0]
        """
        points = np.asarray(index, dtype=np.float64)
        moved: NDArray[np.float64] = points @ self.affine[:3, :3].T + self.affine[:3, 3]
        return moved

    def apart(self, other: Geometry, size: Sequence[int]) -> float:
        """Return how far the same voxel lies apart in two geometries, at most, in the unit of this one.

        ``size`` counts voxels along x, y and z. The distance is that of affine maps, hence largest at a corner.

        >>> Geometry(np.eye(4)).apart(Geometry(np.diag([1.0, 1.0, 1.1, 1.0])), (5, 5, 11))
        1.0
        """
        scale = MICROMETRES[other.unit] / MICROMETRES[self.unit]
        corners = np.array(list(product(*((0, n - 1) for n in size))), dtype=np.float64)
        steps = np.sqrt(((self.world(corners) - other.world(corners) * scale) ** 2).sum(axis=1))
        return float(steps.max())

    def unplaced(self) -> Geometry:
        """Return the spacing alone: axes at right angles, the first voxel at the origin."""
        return Geometry(np.diag([*self.spacing, 1.0]), self.unit)

    def through(self, strides: Sequence[float], shift: Sequence[float], order: str = "xyz") -> Geometry:
        """Return the geometry of voxels whose index i lies at index ``i * strides + shift`` of this one.

        ``order`` names the axis of each of the three values, so that a layer over (z, y, x) can say "zyx".

        >>> moved = Geometry(np.eye(4)).through((2, 1, 1), (0.5, 0, 0), order="zyx")
        >>> moved.spacing, moved.origin
        ((1.0, 1.0, 2.0), (0.0, 0.0, 0.5))
        """
        step = np.eye(4)
        for axis, stride, start in zip(order, strides, shift, strict=True):
            i = "xyz".index(axis)
            step[i, i], step[i, 3] = stride, start
        return Geometry(self.affine @ step, self.unit)
