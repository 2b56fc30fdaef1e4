"""Pages: memory that threads work in is asked for in whole huge ones, as in native/memory.hpp."""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine.blocks import Array

HUGE = 1 << 21
"""Bytes of a huge page: memory of more than a quarter of one is asked for in whole ones."""


def in_pages(size: int) -> int:
    """Return the bytes that are asked for where so many are needed.

    >>> in_pages(100), in_pages(HUGE + 1) // HUGE
    (100, 2)
    """
    return -(-size // HUGE) * HUGE if size > HUGE // 4 else size


def all_in_pages(sizes: Array) -> Array:
    """Return the same for each of several sizes."""
    return np.where(sizes > HUGE // 4, np.ceil(sizes / HUGE) * HUGE, sizes)
