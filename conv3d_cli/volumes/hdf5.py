"""HDF5: one dataset of a file, read block by block, and only if its voxels are truly in that file.

``element_size_um`` is the convention of ilastik and of Fiji's HDF5 plugin: micrometres along the spatial axes in the
dataset's index order, which is z, y, x. It is read so for every choice of axes: its first value is for the spatial
axis that varies slowest. Beside it this package writes ``element_size_unit``, the unit that the volume had.
"""

from __future__ import annotations

import itertools
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.lengths import MICROMETRES
from conv3d_cli.volumes.axes import spatial
from conv3d_cli.volumes.geometry import Geometry
from conv3d_cli.volumes.hdf5_attributes import SIZE, UNIT, read_attributes
from conv3d_cli.volumes.hdf5_checks import check_dataset, find, listing
from conv3d_cli.volumes.making import in_attributes
from conv3d_cli.volumes.references import split_ref
from conv3d_cli.volumes.source import Source, convert
from conv3d_cli.volumes.stream import one_line, open_raw, reading

if TYPE_CHECKING:
    import h5py
    from numpy.typing import NDArray

#: Bytes of one block, unless one chunk is more.
SLAB = 4 << 20


class Hdf5Source(Source):
    """A dataset that holds all its voxels, in a file that stays open until ``close``."""

    oriented = False

    def __init__(self, ref: str) -> None:
        path, name = split_ref(ref)
        self._file = _open(ref, path)
        try:
            with reading(ref):
                self._dataset: h5py.Dataset = find(ref, self._file, name)
                check_dataset(ref, self._file, self._dataset, Path(path).stat().st_size)
                dataset = self._dataset
                self._attributes = read_attributes(path, dataset)
                meta = {"dataset": dataset.name, "attributes": self._attributes}
                super().__init__(ref, "hdf5", dataset.shape, dataset.dtype, meta=meta)
                self._sizes, self._unit = self._element_size(), self._element_unit()
                self.geometry = self._geometry("zyx")
                self.provenance = in_attributes(dataset)
        except BaseException:
            self._file.close()
            raise

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return the spacing that ``element_size_um`` gives to the spatial axes in their index order."""
        return self._geometry(spatial(axes))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _element_size(self) -> list[float] | None:
        if SIZE in self._attributes.unread:
            self.notes.append(f"{SIZE} is ignored: it cannot be read")
        values = self._attributes.values.get(SIZE)
        if values is None:
            return None
        sizes = np.ravel(values)
        if sizes.dtype.kind not in "iuf" or sizes.size != 3 or not (np.isfinite(sizes) & (sizes > 0)).all():
            self.notes.append(f"{SIZE} is ignored: got {one_line(sizes.tolist())}, expected 3 positive numbers")
            return None
        return [float(value) for value in sizes]

    def _element_unit(self) -> str:
        """Return the unit that the spacing is told in; without a word about it, that of ``element_size_um``."""
        unit = self._attributes.values.get(UNIT, "um")
        text = unit.decode("ascii", "replace") if isinstance(unit, bytes) else unit
        if isinstance(text, str) and text in MICROMETRES:
            return text
        self.notes.append(f"{UNIT} is ignored: got {one_line(text, 40)}, expected one of {', '.join(MICROMETRES)}")
        return "um"

    def _geometry(self, order: str) -> Geometry | None:
        if self._sizes is None:
            return None
        spacing = [self._sizes[order.index(axis)] / MICROMETRES[self._unit] for axis in "xyz"]
        return Geometry(np.diag([*spacing, 1.0]), self._unit)

    def extra_bytes(self, dtype: np.dtype[Any]) -> int:
        """Bytes beside the result: a block before its conversion, and the chunk that HDF5 inflates."""
        block = prod(self._block()) * self.dtype.itemsize
        return block + prod(self._dataset.chunks or ()) * self.dtype.itemsize

    def slab_of(self, count: int) -> int:
        """Return the thickness of a slab of about ``count`` voxels: a multiple of that of the chunks."""
        chunk = (self._dataset.chunks or (1,))[0]
        return max(1, super().slab_of(count) // chunk) * chunk

    def _fill(self, result: NDArray[Any], start: int) -> None:
        block = self._block()
        corners = itertools.product(*(range(0, size, step) for size, step in zip(result.shape, block, strict=True)))
        with reading(self.ref):
            try:
                for corner in corners:
                    self._copy([slice(a, a + n) for a, n in zip(corner, block, strict=True)], result, start)
            except (OSError, RuntimeError, ValueError) as error:
                raise VolumeError(
                    f"{quoted(self.ref)}: the voxels of {quoted(self._dataset.name)} cannot be read: {one_line(error)};"
                    f" {listing(self._file)}"
                ) from error

    def _copy(self, where: list[slice], result: NDArray[Any], start: int) -> None:
        """Copy a block of ``result``, whose first row is row ``start`` of the dataset."""
        first, last = where[0].start, min(where[0].stop, len(result))
        here, there = (slice(first, last), *where[1:]), (slice(first + start, last + start), *where[1:])
        if self.dtype == result.dtype:
            self._dataset.read_direct(result, there, here)
        else:
            convert(self._dataset[there], result[here])

    def _block(self) -> list[int]:
        """Return the shape of what is read at once: whole chunks, so that each is inflated once, up to a bound."""
        block = list(self._dataset.chunks or [1] * len(self.shape))
        for axis in reversed(range(len(block))):
            times = SLAB // (prod(block) * self.dtype.itemsize)
            block[axis] = min(self.shape[axis], block[axis] * max(1, times))
        return block


def _open(ref: str, path: str) -> h5py.File:
    import h5py

    with reading(ref):
        # Opening it first gives the system's plain words for a missing file or a folder.
        open_raw(path).close()
        try:
            # A network drive without locks is no reason to refuse; a writer that holds one is.
            return h5py.File(path, "r", locking="best-effort")
        except OSError as error:
            raise VolumeError(f"{quoted(ref)}: is no HDF5 file that can be read: {one_line(error)}") from error
