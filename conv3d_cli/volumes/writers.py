"""How each format is written: blockwise, from a view in the file's order, into an open file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from conv3d_cli.volumes import npy
from conv3d_cli.volumes.blocks import blocks, storage_order
from conv3d_cli.volumes.gzipped import GzipWriter
from conv3d_cli.volumes.nifti_out import header_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from conv3d_cli.volumes.narrow import Narrow
    from conv3d_cli.volumes.volume import Volume


class Writable(Protocol):
    """The part of a file that the writers use."""

    def write(self, data: Any, /) -> object:
        """Take the bytes of a buffer."""


def write_npy(volume: Volume, file: BinaryIO, narrow: Narrow, ref: str) -> None:
    """Write a .npy file in the array's own order if that is Fortran's, else in C order."""
    array = volume.array
    fortran = not array.flags.c_contiguous and storage_order(array) == tuple(range(array.ndim))[::-1]
    file.write(npy.header(array.shape, narrow.dtype, fortran))
    _write_all(array.T if fortran else array, file, narrow)


def write_nifti(volume: Volume, file: BinaryIO, narrow: Narrow, ref: str) -> None:
    """Write a NIfTI image in one file."""
    file.write(header_bytes(volume, narrow.dtype, pair=False))
    _write_all(volume.array.T, file, narrow)


def write_nifti_gz(volume: Volume, file: BinaryIO, narrow: Narrow, ref: str) -> None:
    """Write a NIfTI image in one gzip file."""
    packed = GzipWriter(file)
    packed.write(header_bytes(volume, narrow.dtype, pair=False))
    _write_all(volume.array.T, packed, narrow)
    packed.finish()


def write_nifti_pair(volume: Volume, files: list[BinaryIO], narrow: Narrow, gz: bool) -> None:
    """Write a NIfTI image as header and voxels."""
    outs = [GzipWriter(file) if gz else file for file in files]
    outs[0].write(header_bytes(volume, narrow.dtype, pair=True))
    _write_all(volume.array.T, outs[1], narrow)
    for out in outs:
        if isinstance(out, GzipWriter):
            out.finish()


def pieces(array: NDArray[Any], narrow: Narrow) -> Iterator[NDArray[Any]]:
    """Yield an array's values in C order, in the stored type."""
    for block in blocks(array):
        yield narrow(block)


def _write_all(array: NDArray[Any], out: Writable, narrow: Narrow) -> None:
    for piece in pieces(array, narrow):
        out.write(piece.reshape(-1).view(np.uint8))
