"""A volume file that was opened and checked, of which no voxel has been read yet."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import OverLimit, quoted
from conv3d_cli.volumes.blocks import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from numpy.typing import DTypeLike, NDArray

    from conv3d_cli.volumes.geometry import Geometry
    from conv3d_cli.volumes.stream import ByteStream, Hashing

#: Kinds that hold real numbers, and the widest of them: longdouble and complex cannot be computed with here.
REAL_KINDS = "biuf"
WIDEST = 8


class Source:
    """An open volume: what its header says, and ``read`` or ``slabs`` for its voxels. It is a context manager.

    ``shape`` is in the file's index order, ``dtype`` the stored one, ``order`` the storage order ("C" or "F"),
    ``notes`` what a report should say about how the file was understood, ``meta`` what only its format knows.
    """

    oriented = True
    """Whether a geometry of this format is whole, or its spacing alone, with neither orientation nor origin."""

    def __init__(
        self,
        ref: str,
        format: str,  # noqa: A002
        shape: Sequence[int],
        dtype: np.dtype[Any],
        order: str = "C",
        geometry: Geometry | None = None,
        meta: dict[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.ref = ref
        self.format = format
        self.shape = tuple(int(n) for n in shape)
        self.dtype = dtype
        self.order = order
        self.geometry = geometry
        self.meta = meta or {}
        self.notes = list(notes)
        self.scale: tuple[float, float] | None = None
        self.hashing: Hashing | None = None
        self.provenance: str | None = None
        self._consumed = False

    @property
    def slowest(self) -> int:
        """The axis that varies slowest in the file, along which it can be read in slabs."""
        return len(self.shape) - 1 if self.order == "F" else 0

    @property
    def value_dtype(self) -> np.dtype[Any]:
        """The type that holds every value as it is meant: the stored one in native byte order, or of scaled values."""
        return np.dtype(np.float64) if self.scale is not None else self.dtype.newbyteorder("=")

    @property
    def nbytes_stored(self) -> int:
        """Bytes of the voxels as stored, before compression."""
        return prod(self.shape) * self.dtype.itemsize

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return the geometry once the file's axes have their letters."""
        return self.geometry

    def read(self, dtype: DTypeLike = "float32", limit_bytes: int | None = None) -> NDArray[Any]:
        """Return all voxels, scaled as the header says, in the file's index and storage order and native byte order.

        Beside the result only a chunk of a few MiB is in memory. VolumeError if a byte is missing, damaged or left
        over; OverLimit if the result would take more than ``limit_bytes`` or than there is.
        """
        wanted = self._wanted(dtype)
        result = self._allocate(wanted, limit_bytes)
        self._consumed = True
        self._fill(result, 0)
        self._finish()
        return result

    def slabs(self, dtype: DTypeLike, thickness: int) -> Iterator[NDArray[Any]]:
        """Yield all voxels as ``read`` returns them, in slabs of ``thickness`` along the axis ``slowest``, in order.

        One slab is in memory at a time, if the caller lets each go. What is damaged behind the last slab is found
        after it: the walk has to be taken to its end.
        """
        wanted = self._wanted(dtype)
        self._consumed = True
        shape = list(self.shape)
        for start in range(0, self.shape[self.slowest], thickness):
            shape[self.slowest] = min(thickness, self.shape[self.slowest] - start)
            slab = np.empty(shape, wanted, order="F" if self.order == "F" else "C")
            self._fill(slab, start)
            yield slab
        self._finish()

    def slab_of(self, count: int) -> int:
        """Return the thickness of a slab of about ``count`` voxels that is read without waste; at least 1."""
        return max(1, count * self.shape[self.slowest] // prod(self.shape))

    def extra_bytes(self, dtype: np.dtype[Any]) -> int:
        """Bytes of memory that reading as ``dtype`` takes beside the result."""
        return BLOCK * (self.dtype.itemsize + 8)

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wanted(self, dtype: DTypeLike) -> np.dtype[Any]:
        """Return the type to read as; raises TypeError for one that is not real, RuntimeError at a second reading."""
        wanted = np.dtype(dtype)
        if wanted.kind not in REAL_KINDS or wanted.itemsize > WIDEST or not wanted.isnative:
            raise TypeError(f"read: got dtype {dtype!r}, expected a real native one such as 'float32'")
        if self._consumed:
            raise RuntimeError(f"read: the voxels of {quoted(self.ref)} were read already")
        return wanted

    def _fill(self, result: NDArray[Any], start: int) -> None:
        """Fill an array, contiguous in storage order, with the voxels from ``start`` on along the axis ``slowest``.

        Calls follow each other without a gap.
        """
        raise NotImplementedError

    def _finish(self) -> None:
        """Check that the data ends with the last voxel."""

    def _allocate(self, dtype: np.dtype[Any], limit_bytes: int | None) -> NDArray[Any]:
        needed = prod(self.shape) * dtype.itemsize + self.extra_bytes(dtype)
        words = f"{quoted(self.ref)}: needs {needed} bytes of memory for {self.shape} in {dtype}"
        if limit_bytes is not None and needed > limit_bytes:
            raise OverLimit(f"{words}, allowed are {limit_bytes}")
        try:
            return np.empty(self.shape, dtype, order="F" if self.order == "F" else "C")
        except (MemoryError, ValueError) as error:
            raise OverLimit(f"{words}, which is more than there is") from error


def real(dtype: np.dtype[Any]) -> bool:
    """Return whether voxels of this type are real numbers that fit into 64 bits.

    >>> real(np.dtype(">i2")), real(np.dtype("c8")), real(np.dtype("O"))
    (True, False, False)
    """
    return dtype.kind in REAL_KINDS and dtype.itemsize <= WIDEST


def fill(flat: NDArray[Any], stream: ByteStream, stored: np.dtype[Any], scale: tuple[float, float] | None) -> None:
    """Read ``flat.size`` stored values into a contiguous array, piece by piece, as ``value * slope + intercept``."""
    if scale is None and stored == flat.dtype and stored.kind != "b":
        stream.readinto(flat.view(np.uint8))
        return
    piece = np.empty(min(BLOCK, flat.size), stored)
    for start in range(0, flat.size, BLOCK):
        part = piece[: flat.size - start]
        stream.readinto(part.view(np.uint8))
        convert(part, flat[start : start + BLOCK], scale)


def convert(part: NDArray[Any], out: NDArray[Any], scale: tuple[float, float] | None = None) -> None:
    """Put stored values into an array of another type, scaled in float64 and rounded once."""
    # A stored byte above 1 is no valid bool, and numpy would not agree with itself on its value.
    values = part.view(np.uint8) != 0 if part.dtype.kind == "b" else part
    with np.errstate(all="ignore"):
        if scale is not None:
            slope, intercept = scale
            values = values.astype(np.float64)
            values *= slope
            values += intercept
        out[...] = values
