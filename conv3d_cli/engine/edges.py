"""The boundary of a problem as compiled code takes it: for each axis, the voxels that are read outside of it."""

from __future__ import annotations

from typing import Any

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.problem import Problem


def native_boundary(problem: Problem) -> Any:
    """Return the tables of the problem's boundary, axes in the order of the problem: none for a constant or zeros.

    The kernels must be built. Raises ShapeError for an axis without voxels that would have to be repeated.
    """
    module: Any = isas.native()
    if not problem.bounded:
        return module.Boundary(0.0, [(0, 0, [])] * 3)
    axes = []
    for size, (before, after) in zip(problem.size, problem.padding, strict=True):
        places = [] if problem.boundary.is_constant else problem.boundary.places(size, before, after).tolist()
        axes.append((before, after, places[:before] + places[before + size :]))
    return module.Boundary(problem.boundary.value, axes)
