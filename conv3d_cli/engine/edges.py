"""The boundary of a problem as compiled code takes it: for each axis, the voxels that are read outside of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.problem import Problem


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
