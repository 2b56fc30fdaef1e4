"""The range of an array's values, read once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.problem import ITEMSIZE


def range_of(values: NDArray[Any]) -> tuple[float, float, float]:
    """Return least, greatest and sum of real values, in float64; low or high is not finite if one of the values is not.

    >>> range_of(np.array([3.0, 1.0, 2.0], "float32"))
    (1.0, 3.0, 6.0)
    """
    module, isa = isas.native(), isas.active()
    if module is not None and isa != isas.NUMPY and _in_place(values):
        found: tuple[float, float, float] = module.range(isa, values.reshape(-1))
        return found
    with np.errstate(over="ignore", invalid="ignore"):  # the sum of what is not finite is nothing that counts
        return float(values.min()), float(values.max()), float(values.sum(dtype=np.float64))


def _in_place(values: NDArray[Any]) -> bool:
    """Return whether compiled code can read the values where they are, one after the other."""
    placed = values.flags.c_contiguous and values.flags.aligned and values.dtype.isnative
    return placed and values.size > 0 and values.dtype.name in ITEMSIZE
