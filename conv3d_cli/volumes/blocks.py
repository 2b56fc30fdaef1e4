"""An array in cache-sized pieces, without a copy of the whole."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Elements of one piece: 1 MiB of float32, which a second-level cache holds.
BLOCK = 1 << 18


def blocks(array: NDArray[Any], size: int = BLOCK) -> Iterator[NDArray[Any]]:
    """Yield the elements of an array in C order as views of at most ``size`` elements each, or one row if that is more.

    >>> import numpy as np
    >>> [block.shape for block in blocks(np.zeros((3, 4)).T, 6)]
    [(2, 3), (2, 3)]
    """
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        for start in range(0, flat.size, size):
            yield flat[start : start + size]
        return
    for where in places(array.shape, size):
        yield array[where]


def places(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[tuple[Any, ...]]:
    """Yield the indices of such views for an array of a shape: numbers, and one slice behind them.

    >>> list(places((2, 3), 2))
    [(0, slice(0, 2, None)), (0, slice(2, 4, None)), (1, slice(0, 2, None)), (1, slice(2, 4, None))]
    """
    split = next(axis for axis in range(len(shape)) if prod(shape[axis + 1 :]) <= size)
    rows = max(1, size // prod(shape[split + 1 :]))
    for index in itertools.product(*map(range, shape[:split])):
        for start in range(0, shape[split], rows):
            yield (*index, slice(start, start + rows))


def storage_order(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the axes from the largest stride to the smallest.

    >>> import numpy as np
    >>> storage_order(np.zeros((2, 3, 4), order="F"))
    (2, 1, 0)
    """
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
