"""Masks and labels in files: read slab by slab into arrays that are as small as what they have to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import VolumeError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from conv3d_cli.volumes.source import Source

SLAB = 1 << 20
"""Voxels that are read at a time."""

SPAN = 1 << 22
"""Numbers from the least label to the greatest for which a table of all of them is made."""

WHOLE = float(1 << 53)
"""Numbers below this are told apart by float64."""


def read_mask(source: Source, order: Sequence[int], fortran: bool) -> NDArray[np.bool_]:
    """Return where the voxels of a file are not 0; its axes come in ``order``, the others have length 1.

    VolumeError for NaN, and where no voxel is inside.
    """

    def inside(slab: NDArray[Any]) -> NDArray[np.bool_]:
        if slab.dtype.kind == "f" and np.isnan(slab).any():
            raise VolumeError(f"{quoted(source.ref)}: holds NaN: expected 0 outside of the mask, other numbers inside")
        return np.asarray(slab != 0)

    mask = _read(source, order, fortran, np.dtype(np.bool_), inside)
    if not mask.any():
        raise VolumeError(f"{quoted(source.ref)}: nothing is inside of the mask: got 0 at every voxel")
    return mask


def read_labels(source: Source, order: Sequence[int], fortran: bool) -> tuple[NDArray[Any], int]:
    """Return the labels of a file as the numbers from 1, in the order of their values, and how many there are.

    What is not above 0 is no label, and 0. VolumeError for numbers that are not whole, and where there is no label.
    """
    numbers: dict[int, int] = {}

    def numbered(part: NDArray[Any]) -> NDArray[Any]:
        if part.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                whole = (part == np.rint(part)) & (np.abs(part) < WHOLE)  # False for NaN
            if not whole.all():
                got = part[~whole].flat[0]
                raise VolumeError(f"{quoted(source.ref)}: labels are whole numbers: got {got:g}")
            part = part.astype(np.int64)
        return _numbered(part, numbers)

    labels = _read(source, order, fortran, np.dtype(np.int32), numbered)
    if not numbers:
        raise VolumeError(f"{quoted(source.ref)}: holds no label: got no number above 0")
    small = next(kind for kind in (np.uint8, np.uint16, np.int32) if len(numbers) <= np.iinfo(kind).max)
    places = np.zeros(len(numbers) + 1, small)
    for place, value in enumerate(sorted(numbers), start=1):
        places[numbers[value]] = place
    return places[labels], len(numbers)


def _numbered(part: NDArray[Any], numbers: dict[int, int]) -> NDArray[Any]:
    """Return the number of each label in ``numbers``, which gets those that are new; 0 for what is no label."""
    least, greatest = int(part.min()), int(part.max())
    if greatest - least < SPAN:
        # Differences of unsigned numbers stay in their type; those of signed ones do in 64 bits, within the span.
        where = part - part.dtype.type(least) if part.dtype.kind == "u" else part.astype(np.int64) - least
        where = where.astype(np.int64)
        present = np.flatnonzero(np.bincount(where.reshape(-1)))
        table = np.zeros(greatest - least + 1, np.int32)
        table[present] = [_number(numbers, least + step) for step in present.tolist()]
        return table[where]
    values, inverse = np.unique(part, return_inverse=True)
    return np.array([_number(numbers, value) for value in values.tolist()], np.int32)[inverse].reshape(part.shape)


def _number(numbers: dict[int, int], value: int) -> int:
    return numbers.setdefault(value, len(numbers) + 1) if value > 0 else 0


def _read(
    source: Source,
    order: Sequence[int],
    fortran: bool,
    dtype: np.dtype[Any],
    convert: Callable[[NDArray[Any]], NDArray[Any]],
) -> NDArray[Any]:
    """Return what ``convert`` makes of a file's voxels, part by part."""
    result = np.empty([source.shape[axis] for axis in order], dtype, order="F" if fortran else "C")
    others = [axis for axis in range(len(source.shape)) if axis not in order]
    # The same array with the file's axes.
    filed = np.expand_dims(result.transpose(np.argsort(order)), others)
    start = 0
    for slab in source.slabs(source.value_dtype, source.slab_of(SLAB)):
        rows = slab.shape[source.slowest]
        to = np.moveaxis(np.moveaxis(filed, source.slowest, 0)[start : start + rows], 0, source.slowest)
        # A slab is the whole volume where an axis of length 1 varies slowest.
        along = max(range(slab.ndim), key=lambda axis: (slab.shape[axis] > 1, abs(slab.strides[axis])))
        step = max(1, SLAB * slab.shape[along] // slab.size)
        for first in range(0, slab.shape[along], step):
            part = (slice(None),) * along + (slice(first, first + step),)
            to[part] = convert(slab[part])
        start += rows
    return result
