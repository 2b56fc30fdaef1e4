"""Memory for outputs, used again: pages that the system has to hand over and clear cost as much as a convolution.

Of the blocks that were given back one is kept, the last; what does not fit it drops it. So no more than one output that
nobody holds takes up memory, and only until the next is asked for.
"""

from __future__ import annotations

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from conv3d_cli.engine.blocks import Array

LEAST = 1 << 20
"""Bytes below which memory is cheap to get."""

MOST = 256 << 20
"""Bytes that are kept at most."""

WASTE = 1.25
"""How much larger than what is asked for a block may be."""

LINE = 64
"""Bytes of a line of the cache: rows that begin with one are written faster."""


class Loan:
    """Stands for a block as long as an array lies in it, and gives it back with the last one."""

    def __init__(self, block: Array, pool: Pool) -> None:
        self.block, self.pool = block, pool
        self.__array_interface__: dict[str, Any] = block.__array_interface__

    def __del__(self) -> None:
        self.pool.give(self.block)


class Pool:
    """The block that was given back last; threads may share it.

    >>> pool = Pool()
    >>> array = pool.empty((64, 64, 64), "float64")
    >>> place = array.ctypes.data
    >>> del array
    >>> pool.empty((64, 64, 64), "float64").ctypes.data == place
    True
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a Loan may end at any time, even while its own thread is in here
        self._idle: Array | None = None

    @property
    def bytes(self) -> int:
        """Bytes that nobody uses."""
        idle = self._idle
        return 0 if idle is None else idle.nbytes

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return an array whose values are whatever is in memory; its first voxel begins a line of the cache."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if not LEAST <= size <= MOST:
            self.clear()
            return np.empty(shape, dtype)
        with self._lock:
            block, self._idle = self._idle, None
        if block is None or not size + LINE <= block.nbytes <= WASTE * size + LINE:
            del block  # before more is asked for
            block = np.empty(size + LINE, np.uint8)
        start = -block.ctypes.data % LINE
        whole: Array = np.asarray(Loan(block, self))[start : start + size].view(dtype).reshape(shape)
        return whole

    def give(self, block: Array) -> None:
        """Keep a block for the next array, in place of the one kept now."""
        with self._lock:
            self._idle = block

    def clear(self) -> None:
        """Give what nobody uses back to the system."""
        with self._lock:
            self._idle = None


OUTPUTS = Pool()
"""What this process keeps."""
