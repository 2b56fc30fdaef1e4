"""How large values are: what decides whether they may go through a transform is looked at before each convolution."""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import carry_out

BYTE = 1e-10
"""Seconds in which a thread looks at a byte, at most."""


def brightest(problem: Problem, x: Array, threads: int = 1) -> float:
    """Return the largest magnitude that a convolution reads, in its volume ``x`` or around it.

    >>> from conv3d_cli.engine.boundary import Boundary
    >>> problem = Problem((1, 1, 2), (1, 1, 3), padding=((0, 0), (0, 0), (1, 1)), boundary=Boundary("constant", -9))
    >>> brightest(problem, np.array([[[[[1.0, -3.0]]]]]))
    9.0
    """
    around = abs(problem.boundary.value) if problem.bounded else 0.0
    return float(np.maximum(largest(x, threads), around))


def largest(values: Array, threads: int = 1) -> float:
    """Return the largest magnitude, infinite or NaN if any value is; 0 of no values.

    >>> largest(np.array([[1.0, -3.0], [2.0, 0.0]]))
    3.0
    """
    module, packed = isas.native(), values
    if not packed.flags.c_contiguous:
        packed = values.transpose(np.argsort([-abs(stride) for stride in values.strides], kind="stable"))
    if module is None or not packed.flags.c_contiguous or not packed.flags.aligned:
        return float(np.max(np.abs([np.max(values, initial=0), np.min(values, initial=0)])))
    look = module.Largest(isas.active(), packed.reshape(-1))
    carry_out(look, threads, seconds=values.nbytes * BYTE)
    return float(look.found)
