"""Writing HDF5 such that a full disk is an error and never the end of the process."""

from __future__ import annotations

import itertools
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from conv3d_cli.errors import OutputError, UsageError, quoted
from conv3d_cli.lengths import MICROMETRES
from conv3d_cli.volumes.axes import spatial
from conv3d_cli.volumes.gzipped import ZLIB, engine
from conv3d_cli.volumes.hdf5_attributes import SIZE, UNIT, Attributes, write_attributes
from conv3d_cli.volumes.making import ATTRIBUTE
from conv3d_cli.volumes.references import split_ref
from conv3d_cli.volumes.signals import deferred
from conv3d_cli.volumes.stream import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conv3d_cli.volumes.narrow import Narrow
    from conv3d_cli.volumes.volume import Volume

LEVEL = 1
CHUNK_BYTES = 1 << 20
DEFAULT_DATASET = "/data"


class CalmFile:
    """A file as HDF5 sees it: no write in it ever fails, and signals wait (``deferred``).

    HDF5 ends the process when it cannot write back what it holds while it closes. So the first error is kept here,
    later bytes stay in memory (little: nothing but HDF5's own caches is written then), and ``error`` says why.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._late: list[tuple[int, bytes]] = []
        self._at = 0
        self._end = 0
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as in every file."""
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def write(self, data: Any) -> int:
        """Write to the file, or once that has failed, to memory."""
        count = memoryview(data).nbytes
        if self.error is None:
            try:
                self._file.seek(self._at)
                self._file.write(data)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._late.append((self._at, bytes(data)))
        self._at += count
        self._end = max(self._end, self._at)
        return count

    def readinto(self, buffer: Any) -> int:
        """Read back what was written, wherever it went."""
        view = memoryview(buffer).cast("B")
        start = self._at
        data = bytearray(len(view))
        try:
            self._file.seek(start)
            front = self._file.read(len(view))
            data[: len(front)] = front
        except OSError as error:
            self.error = self.error or error
        for at, late in self._late:
            low, high = max(at, start), min(at + len(late), start + len(view))
            if low < high:
                data[low - start : high - start] = late[low - at : high - at]
        view[:] = data
        self._at += len(view)
        return len(view)

    def read(self, count: int) -> bytes:
        """Return bytes, as h5py asks of a file; HDF5 itself uses ``readinto``."""
        buffer = bytearray(count)
        self.readinto(buffer)
        return bytes(buffer)

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._end)
            except OSError as error:
                self.error = error
        return self._end

    def flush(self) -> None:
        """Leave it to the one who closes the file."""


def write_hdf5(volume: Volume, file: BinaryIO, narrow: Narrow, ref: str) -> None:
    """Write one dataset in gzip level 1 with shuffle, its ``element_size_um``, and the attributes that still hold."""
    import h5py

    calm = CalmFile(file)
    name = dataset_name(volume, ref)
    try:
        out = None
        try:
            # A signal that waited is raised at the end of its block, when the file is already there to be closed.
            with deferred():
                out = h5py.File(calm, "w", track_order=False)
                # It is held here until the file is closed: HDF5 writes when it is let go, too.
                dataset = _create(out, name, volume, narrow)
            _fill(dataset, volume, narrow, calm)
        finally:
            if out is not None:
                with deferred():
                    out.close()
    except (OSError, RuntimeError, ValueError) as error:
        if calm.error is None:
            raise OutputError(f"{quoted(ref)}: cannot be written: {one_line(error)}") from error
    if calm.error is not None:
        raise calm.error


def dataset_name(volume: Volume, ref: str) -> str:
    """Return the dataset of ``out.h5:/path``, else the one that the volume came from, else /data."""
    _, name = split_ref(ref)
    if name is None:
        return str(volume.meta.get("dataset", DEFAULT_DATASET)) if volume.format == "hdf5" else DEFAULT_DATASET
    if not name.strip("/"):
        raise UsageError(f"output: {quoted(ref)} names no dataset, expected for example 'out.h5:/data'")
    return name


def _create(out: Any, name: str, volume: Volume, narrow: Narrow) -> Any:
    shape = volume.array.shape
    chunk = _chunk(shape, narrow.dtype.itemsize)
    packing = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True, "track_times": False}
    dataset = out.create_dataset(name, shape, narrow.dtype, chunks=chunk, **packing)
    if volume.geometry is not None:
        unit = volume.geometry.unit
        scale = MICROMETRES[unit]
        sizes = dict(zip("xyz", volume.geometry.spacing, strict=True))
        if unit != "um":
            dataset.attrs[UNIT] = np.bytes_(unit)
        dataset.attrs[SIZE] = np.array([sizes[axis] * scale for axis in spatial(volume.axes)])
    found = volume.meta.get("attributes") if volume.format == "hdf5" else None
    if isinstance(found, Attributes):
        write_attributes(dataset, found.carried(volume.array.ndim)[0])
    if volume.provenance is not None:
        dataset.attrs[ATTRIBUTE] = np.bytes_(volume.provenance)
    return dataset


def _fill(dataset: Any, volume: Volume, narrow: Narrow, calm: CalmFile) -> None:
    array, chunk = volume.array, dataset.chunks
    for corner in itertools.product(*(range(0, size, step) for size, step in zip(array.shape, chunk, strict=True))):
        if calm.error is not None:
            return
        where = tuple(slice(a, a + n) for a, n in zip(corner, chunk, strict=True))
        packed = _packed(narrow(array[where]), chunk)
        with deferred():
            dataset.id.write_direct_chunk(corner, packed)


def _packed(piece: NDArray[Any], chunk: tuple[int, ...]) -> bytes:
    """Shuffle and deflate a chunk as HDF5's filters do; isal is several times faster than the zlib in HDF5."""
    whole = piece
    if piece.shape != chunk:
        whole = np.zeros(chunk, piece.dtype)
        whole[tuple(slice(n) for n in piece.shape)] = piece
    planes = np.ascontiguousarray(whole.reshape(-1, 1).view(np.uint8).T)
    deflate = engine()[0].compressobj(level=LEVEL, wbits=ZLIB)
    packed: bytes = deflate.compress(planes) + deflate.flush()
    return packed


def _chunk(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return a chunk of about 1 MiB, whole along the last axes, which lie together in the file."""
    chunk = [1] * len(shape)
    for axis in reversed(range(len(shape))):
        chunk[axis] = min(shape[axis], max(1, CHUNK_BYTES // (prod(chunk) * itemsize)))
    return tuple(chunk)
