"""A volume with what lies around it, and the way back: how gradients pass through a boundary.

The voxels around a volume are copies of voxels in it, each axis on its own. So a gradient with respect to the padded
volume goes back by adding what it says of each copy to the voxel that was copied, one axis after the other.
"""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine.blocks import Array, padded_window
from conv3d_cli.engine.boundary import ZERO
from conv3d_cli.engine.problem import Problem
from conv3d_cli.frozen import replace
from conv3d_cli.shapes import NO_PADS, effective


def unpadded(problem: Problem) -> Problem:
    """Return the same convolution over a volume that holds what its windows read of the voxels around it.

    >>> unpadded(Problem((4, 4, 4), (3, 1, 1), strides=(2, 1, 1), padding=((1, 1), (0, 0), (0, 0)))).size
    (5, 4, 4)
    """
    d, h, w = (
        (n - 1) * s + effective(k, r)
        for n, s, k, r in zip(problem.output_size, problem.strides, problem.kernel, problem.dilation, strict=True)
    )
    return replace(problem, size=(d, h, w), padding=NO_PADS, boundary=ZERO)


def padded(problem: Problem, x: Array) -> Array:
    """Return a volume ``x`` (N, C, D, H, W) with the voxels around it, as ``unpadded(problem)`` reads them."""
    d, h, w = problem.output_size
    inner = unpadded(problem)
    result = np.empty((len(x), problem.channels, *inner.size), problem.dtype)
    for n, one in enumerate(x):
        result[n] = padded_window(problem, one, ((0, d), (0, h), (0, w)), problem.dtype)
    return result


def folded(problem: Problem, gradient: Array, out: Array) -> None:
    """Write to ``out`` (N, C, D, H, W) the gradient of a volume, from that of the ``padded`` one.

    >>> from conv3d_cli.engine.boundary import Boundary
    >>> around, out = ((0, 0), (0, 0), (1, 1)), np.empty((1, 1, 1, 1, 2))
    >>> problem = Problem((1, 1, 2), (1, 1, 3), padding=around, boundary=Boundary("wrap"))
    >>> folded(problem, np.array([[[[[1.0, 10.0, 100.0, 1000.0]]]]]), out)
    >>> out.ravel().tolist()
    [1010.0, 101.0]
    """
    for axis, (size, (before, after)) in enumerate(zip(problem.size, problem.padding, strict=True)):
        lines = np.moveaxis(gradient, 2 + axis, 0)
        inside = np.zeros((size, *lines.shape[1:]), gradient.dtype)
        for place, line in zip(problem.boundary.places(size, before, after), lines, strict=False):
            if place >= 0:  # a constant has no gradient
                inside[place] += line
        gradient = np.moveaxis(inside, 0, 2 + axis)
    out[...] = gradient
