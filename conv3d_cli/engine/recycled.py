"""Memory for outputs, used again: pages that the system has to hand over and clear cost as much as a convolution.

Of the blocks that were given back one is kept, the last; what does not fit it drops it. So no more than one output that
nobody holds takes up memory, and only until the next is asked for.
"""

from __future__ import annotations

import os
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

PAGE = 4096
"""Bytes of a page. Processors tell a load from the stores before it by where in a page they lie, at first."""

START = PAGE // 2
"""Where in a page an array begins: far from where others do, mostly at the start of one, for what is read for an output
lies at its own place of another array. At the same place 1^3 kernels take 1.5 times as long. A line begins there."""


class Block(np.ndarray[Any, Any]):
    """Bytes in which one array after the other lies, each from ``start``.

    A type of its own, since NumPy bases a view on the first array of its type, passing by a loan.
    """

    start: int

    @classmethod
    def of(cls, size: int) -> Block:
        """Return a block with room for ``size`` bytes."""
        block = cls(size + PAGE, np.uint8)
        block.start = (START - block.ctypes.data) % PAGE
        return block


class Loan(np.ndarray[Any, Any]):
    """Stands for a block as long as an array lies in it, and gives it back with the last one."""

    block: Block
    pool: Pool | None = None  # views of a loan give nothing back

    def __del__(self) -> None:
        if self.pool is not None:
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
        self._idle: Block | None = None

    @property
    def bytes(self) -> int:
        """Bytes that nobody uses."""
        idle = self._idle
        return 0 if idle is None else idle.nbytes

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Return an array whose values are whatever is in memory; a large one begins ``START`` into a page."""
        size = prod(shape) * np.dtype(dtype).itemsize
        if not LEAST <= size <= MOST:
            self.clear()
            return np.empty(shape, dtype)
        with self._lock:
            block, self._idle = self._idle, None
        if block is None or not size + PAGE <= block.nbytes <= WASTE * size + PAGE:
            del block  # before more is asked for
            block = Block.of(size)
        loan = Loan(shape, dtype, block, block.start)
        loan.block, loan.pool = block, self
        return loan.view(np.ndarray)

    def give(self, block: Block) -> None:
        """Keep a block for the next array, in place of the one kept now."""
        with self._lock:
            self._idle = block

    def unlock(self) -> None:
        """Take a lock of one's own: in a child process nobody is left to release the one that a thread held."""
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Give what nobody uses back to the system."""
        with self._lock:
            self._idle = None


OUTPUTS = Pool()
"""What this process keeps."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=OUTPUTS.unlock)
