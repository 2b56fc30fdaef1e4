"""The ``.keras`` file: a zip of which this looks at the member ``model.weights.h5`` alone."""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from conv3d_cli.errors import WeightsError, quoted
from conv3d_cli.weights.hdf5 import MAGIC, from_hdf5, read_hdf5
from conv3d_cli.weights.mapping import Weights
from conv3d_cli.weights.opened import check_fits, opened, sha256_of, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = ".keras"
MEMBER = "model.weights.h5"


def read_keras(path: str) -> Weights:
    """Return the weights of a ``.keras`` file; Keras 2.12 gave that name to HDF5 too.

    Raises WeightsError if it is damaged or has no weights, OverLimit if memory does not hold the member.
    """
    with opened(path, KIND) as file:
        magic = file.read(len(MAGIC))
        file.seek(0)
        state, digest = state_of(file), sha256_of(file)
    if magic == MAGIC:
        return read_hdf5(path)
    held: list[bytes] = []

    @contextmanager
    def source() -> Iterator[BinaryIO]:
        with opened(path, KIND, state) as file:
            if not held:
                held.append(_member(path, file))
            yield io.BytesIO(held[0])

    weights = from_hdf5(path, digest, source)
    weights.configured = True
    return weights


def _member(path: str, file: BinaryIO) -> bytes:
    """Return the bytes of the member, read through its CRC and never more than announced."""
    where = f"{quoted(path)}: {quoted(MEMBER)}"
    with zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if info.filename == MEMBER]
        if len(found) != 1:
            raise WeightsError(f"{where}: found {len(found)} times: expected once in a .keras file")
        [info] = found
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(f"{where}: compression {info.compress_type}: expected stored (0) or deflate (8)")
        check_fits(where, info.file_size)
        data = archive.read(info)
    if len(data) != info.file_size:
        raise WeightsError(f"{where}: data is truncated: got {len(data)} bytes, expected {info.file_size}")
    return data
