"""Values in the type that a file stores: rounded, clipped and counted, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import UsageError, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
FLOATS = ("float32", "float64", "float16")


def storage_dtype(name: str, allowed: tuple[str, ...], form: str) -> np.dtype[Any]:
    """Return the dtype of a name that a format can store; UsageError lists those it can.

    >>> storage_dtype("int16", INTEGERS, "nifti")
    dtype('int16')
    """
    if name not in allowed:
        known = ", ".join(allowed)
        raise UsageError(f"dtype: {form} cannot store {name!r}, expected one of {known}{nearest(name, allowed)}")
    return np.dtype(name)


class Narrow:
    """Converts pieces of real values to ``dtype``, and counts what did not survive.

    Integers round half to even and clip to the type's range; ``clipped`` counts those, infinities included, and
    ``nans`` the NaN that became 0. Floats out of range become infinite and count as clipped.

    >>> narrow = Narrow(np.dtype("uint8"))
    >>> narrow(np.array([0.5, 1.5, 300.0, np.nan])).tolist(), narrow.clipped, narrow.nans
    ([0, 2, 255, 0], 1, 1)
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.clipped = 0
        self.nans = 0

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a piece of values in ``dtype``, contiguous in C order; the input itself where nothing changes."""
        if values.dtype == self.dtype:
            return np.ascontiguousarray(values)
        if self.dtype.kind == "f":
            return self._to_float(values)
        if values.dtype.kind == "f":
            return self._round(values)
        return self._clip(values)

    def _to_float(self, values: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = self._cast(values)
        if values.dtype.kind == "f" and self.dtype.itemsize < values.dtype.itemsize and not np.isfinite(narrow).all():
            self.clipped += int(np.count_nonzero(np.isfinite(values) & ~np.isfinite(narrow)))
        elif self.dtype.itemsize == 2:
            self.clipped += int(np.count_nonzero(~np.isfinite(narrow)))
        return narrow

    def _round(self, values: NDArray[Any]) -> NDArray[Any]:
        info = np.iinfo(self.dtype)
        # Half precision ends below most integer ranges, so their bounds would overflow in it.
        rounded = np.rint(values.astype(np.float32) if values.dtype.itemsize == 2 else values)
        # Powers of two, hence exact in every float, which the greatest integer itself is not.
        low, beyond = float(info.min), float(2 ** (info.bits - (info.min < 0)))
        if rounded.min() >= low and rounded.max() < beyond:  # False for NaN
            return self._cast(rounded)
        nan, under, over = np.isnan(rounded), rounded < low, rounded >= beyond
        self.nans += int(np.count_nonzero(nan))
        self.clipped += int(np.count_nonzero(under)) + int(np.count_nonzero(over))
        rounded[nan | under | over] = 0
        narrow = self._cast(rounded)
        narrow[under], narrow[over] = info.min, info.max
        return narrow

    def _clip(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.dtype.kind == "b":
            return self._cast(values)
        own, info = np.iinfo(values.dtype), np.iinfo(self.dtype)
        low, high = max(own.min, info.min), min(own.max, info.max)
        self.clipped += int(np.count_nonzero((values < low) | (values > high)))
        return self._cast(np.clip(values, low, high))

    def _cast(self, values: NDArray[Any]) -> NDArray[Any]:
        cast: NDArray[Any] = values.astype(self.dtype, order="C")
        return cast
