"""Voxels chosen by their bits: whatever a voxel holds that is not chosen, NaN too, leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

BLOCK_VOXELS = 1 << 16
"""Voxels that are worked on at a time: a few arrays of so many lie in a second-level cache."""

_BITS = {np.dtype("float32"): np.int32, np.dtype("float64"): np.int64}


def only(values: Array, chosen: Array, out: Array) -> None:
    """Put the values where ``chosen``, an array of bool, is true into ``out``, and 0 elsewhere.

    >>> out = np.empty(3, "f4")
    >>> only(np.array([1, np.nan, 3], "f4"), np.array([True, False, True]), out)
    >>> out.tolist()
    [1.0, 0.0, 3.0]
    """
    np.bitwise_and(_bits(values), _all_or_none(chosen), out=_bits(out))


def add(values: Array, chosen: Array, out: Array) -> None:
    """Put the values where ``chosen`` is true into ``out``, which is 0 there, and leave what else it holds.

    ``values`` is changed.

    >>> out = np.array([0, 5, 0], "f4")
    >>> add(np.array([1, np.nan, 3], "f4"), np.array([True, False, False]), out)
    >>> out.tolist()
    [1.0, 5.0, 0.0]
    """
    only(values, chosen, values)
    np.bitwise_or(_bits(out), _bits(values), out=_bits(out))


def in_blocks(work: Callable[[slice], None], rows: int, voxels: int) -> None:
    """Call ``work`` for slices of rows, of so many voxels each, one after the other.

    These are short calls of NumPy: threads would wait for each other longer than they work.
    """
    length = max(1, BLOCK_VOXELS // max(voxels, 1))
    with np.errstate(all="ignore"):
        for start in range(0, rows, length):
            work(slice(start, min(start + length, rows)))


def _bits(values: Array) -> Array:
    return values.view(_BITS[values.dtype])


def _all_or_none(chosen: Array) -> Array:
    """Return whole numbers whose bits are all set where ``chosen`` is true."""
    return np.negative(chosen.view(np.int8))
