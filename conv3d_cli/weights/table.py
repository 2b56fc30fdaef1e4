"""The rows of ``weights show``: what each array holds, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.frozen import frozen
from conv3d_cli.weights.mapping import split_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@frozen
class Row:
    """One array: whose it is, its form, and its finite values summed up; None where no value is finite."""

    layer: str | None
    name: str
    shape: tuple[int, ...]
    dtype: str
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    nonfinite: int


def describe(weights: Mapping[str, NDArray[Any]]) -> list[Row]:
    """Return one row for each array, in the order of the file; arrays are read one at a time.

    >>> [row] = describe({"edges/kernel": np.array([[1.0, 3.0]])})
    >>> row.layer, row.name, row.shape, row.mean, row.std
    ('edges', 'kernel', (1, 2), 2.0, 1.0)
    """
    return [_row(name, weights[name]) for name in weights]


def _row(full_name: str, array: NDArray[Any]) -> Row:
    layer, name = split_name(full_name)
    values = array[np.isfinite(array)].astype(np.float64)
    low, high, mean, std = (float(f(values)) if values.size else None for f in (np.min, np.max, np.mean, np.std))
    dtype, nonfinite = str(array.dtype.newbyteorder("=")), array.size - values.size
    return Row(layer or None, name, array.shape, dtype, low, high, mean, std, nonfinite)
