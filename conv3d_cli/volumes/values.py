"""The range of an array's values, and how many of them are not finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from conv3d_cli.engine.ranges import range_of
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.frozen import frozen
from conv3d_cli.volumes.blocks import BLOCK, blocks, storage_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


@frozen
class Values:
    """Least, greatest and mean of the finite values, or NaN, and the count and first place of the others."""

    min: float
    max: float
    mean: float
    nonfinite: int
    first_nonfinite: tuple[int, ...] | None


class _Part(NamedTuple):
    """What a block holds: range and sum of its finite values, how many others, and where the first of them is."""

    low: float
    high: float
    total: float
    nonfinite: int = 0
    first: int = 0


def scan(array: NDArray[Any], threads: int = 1) -> Values:
    """Return the value range of a real array of any layout, reading it once in storage order.

    The result is the same for any number of ``threads`` that share the blocks of it.

    >>> scan(np.array([[1.0, 2.0], [np.nan, 3.0]]))
    Values(min=1.0, max=3.0, mean=2.0, nonfinite=1, first_nonfinite=(1, 0))
    """
    order = storage_order(array)
    ordered = array.transpose(order)
    pieces = Pieces(enumerate(blocks(ordered)))
    parts: dict[int, tuple[int, _Part]] = {}

    def work() -> None:
        for at, block in pieces:
            parts[at] = (block.size, _part(block))

    if array.size <= BLOCK:
        work()
    else:
        share(work, threads, stop=pieces.close)
    least, greatest, total = np.inf, -np.inf, 0.0
    nonfinite, first, seen = 0, None, 0
    for at in range(len(parts)):  # in the order of the blocks, so that the sum is that of one thread
        size, part = parts[at]
        if part.nonfinite and first is None:
            first = seen + part.first
        least, greatest = min(least, part.low), max(greatest, part.high)
        total += part.total
        nonfinite += part.nonfinite
        seen += size
    count = array.size - nonfinite
    if count == 0:
        least = greatest = total = np.nan
    return Values(least, greatest, total / max(count, 1), nonfinite, _place(first, ordered.shape, order))


def _part(block: NDArray[Any]) -> _Part:
    low, high, total = range_of(block)
    # NaN goes through both, an infinity is one of the two: a finite pair means a finite block.
    if np.isfinite(low) and np.isfinite(high):
        return _Part(low, high, total)
    finite = np.isfinite(block)
    values = block[finite]
    low, high, total = range_of(values) if values.size else (np.inf, -np.inf, 0.0)
    return _Part(low, high, total, block.size - values.size, int(np.argmin(finite.reshape(-1))))


def _place(flat: int | None, shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...] | None:
    if flat is None:
        return None
    stored = np.unravel_index(flat, shape)
    return tuple(int(stored[order.index(axis)]) for axis in range(len(order)))
