"""The range of an array's values, and how many of them are not finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.volumes.blocks import blocks, storage_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Values:
    """Least, greatest and mean of the finite values, or NaN, and the count and first place of the others."""

    min: float
    max: float
    mean: float
    nonfinite: int
    first_nonfinite: tuple[int, ...] | None


def scan(array: NDArray[Any]) -> Values:
    """Return the value range of a real array of any layout, reading it once in storage order.

    >>> scan(np.array([[1.0, 2.0], [np.nan, 3.0]]))
    Values(min=1.0, max=3.0, mean=2.0, nonfinite=1, first_nonfinite=(1, 0))
    """
    order = storage_order(array)
    least, greatest, total = np.inf, -np.inf, 0.0
    nonfinite, first, seen = 0, None, 0
    ordered = array.transpose(order)
    for block in blocks(ordered):
        low, high = float(block.min()), float(block.max())
        values = block
        # NaN goes through both, an infinity is one of the two: a finite pair means a finite block.
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = np.isfinite(block)
            nonfinite += block.size - int(np.count_nonzero(finite))
            if first is None:
                first = seen + int(np.argmin(finite.reshape(-1)))
            values = block[finite]
            low, high = (float(values.min()), float(values.max())) if values.size else (np.inf, -np.inf)
        least, greatest = min(least, low), max(greatest, high)
        with np.errstate(over="ignore"):  # no mean in float64 then, which says enough
            total += float(values.sum(dtype=np.float64))
        seen += block.size
    count = array.size - nonfinite
    if count == 0:
        least = greatest = total = np.nan
    return Values(least, greatest, total / max(count, 1), nonfinite, _place(first, ordered.shape, order))


def _place(flat: int | None, shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...] | None:
    if flat is None:
        return None
    stored = np.unravel_index(flat, shape)
    return tuple(int(stored[order.index(axis)]) for axis in range(len(order)))
