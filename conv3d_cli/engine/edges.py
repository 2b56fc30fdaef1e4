"""The boundary of a problem as compiled code takes it: for each axis, the voxels that are read outside of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.problem import Problem

POSITION_BYTES = 80
"""What a position outside takes while its voxel is looked up: as NumPy, Python and compiled code each hold it."""


def boundary_bytes(problem: Problem) -> int:
    """Return the memory that the tables of the problem's boundary take, in bytes; a constant has none.

    >>> from conv3d_cli.engine.boundary import Boundary
    >>> boundary_bytes(Problem((9, 9, 9), (3, 3, 3), padding=((1, 1),) * 3, boundary=Boundary("wrap")))
    480
    """
    if not problem.bounded or problem.boundary.is_constant:
        return 0
    return POSITION_BYTES * sum(map(sum, problem.padding))


def native_boundary(problem: Problem) -> Any:
    """Return the tables of the problem's boundary, axes in the order of the problem: none for a constant or zeros.

    The kernels must be built. Raises ShapeError for an axis without voxels that would have to be repeated.
    """
    if not problem.bounded:
        return _zeros()
    module: Any = isas.native()
    axes = []
    for size, (before, after) in zip(problem.size, problem.padding, strict=True):
        places = [] if problem.boundary.is_constant else problem.boundary.places(size, before, after).tolist()
        axes.append((before, after, places[:before] + places[before + size :]))
    return module.Boundary(problem.boundary.value, axes)


@cache
def _zeros() -> Any:
    """Return zeros around a volume of any size: jobs take a copy."""
    module: Any = isas.native()
    return module.Boundary(0.0, [(0, 0, [])] * 3)
