"""Weights in NumPy's npz: a zip of npy files, opened without pickle and believed in nothing.

Every member's size is compared with what its npy header announces before a value is read, and every value
goes through the CRC. Format: numpy.lib.format and zipfile.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from conv3d_cli.errors import OverLimit, WeightsError, quoted
from conv3d_cli.limits import Limits
from conv3d_cli.weights.mapping import Header, Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_MEMBERS = 10_000
HEADER_BYTES = 64 * 1024
BLOCK = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
KINDS = "bfiu"
# What zipfile, zlib and numpy's header parser raise on a damaged or hostile file.
DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, RuntimeError, RecursionError),
    *(NotImplementedError, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


@dataclass(frozen=True)
class _Member:
    """A zip member that holds one array; the values begin ``skip`` bytes into it."""

    filename: str
    header: Header
    fortran: bool
    skip: int


def read_npz(path: str) -> Weights:
    """Return the arrays of an npz file; only the headers are read now.

    Raises WeightsError if the file cannot be read, is damaged, or holds what no weights file does: encrypted
    or repeated members, compression other than deflate, arrays that are no real numbers.
    """
    with _opened(path) as file:
        state, digest = _state(file), hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
        with zipfile.ZipFile(file) as archive:
            members = dict(_members(path, archive))
    return Weights(
        path,
        digest.hexdigest(),
        {name: member.header for name, member in members.items()},
        lambda name: _load(path, members[name], state),
    )


def write_npz(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as an uncompressed npz; the same arrays give the same bytes, whenever and wherever."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            info.create_system, info.external_attr = 3, 0o644 << 16
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, little, version=(1, 0), allow_pickle=False)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a regular file; whatever goes wrong while it is open becomes a WeightsError that names it."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise WeightsError(f"{quoted(path)}: not a regular file: expected weights in .npz")
        with Path(path).open("rb") as file:
            yield file
    except WeightsError:
        raise
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{quoted(path)}: not a sound npz file: {_one_line(error)}") from error
    except DAMAGE as error:
        raise WeightsError(f"{quoted(path)}: the weights cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


def _state(file: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def _members(path: str, archive: zipfile.ZipFile) -> Iterator[tuple[str, _Member]]:
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise WeightsError(f"{quoted(path)}: too many arrays: got {len(infos)}, expected at most {MOST_MEMBERS}")
    seen: set[str] = set()
    for info in infos:
        where = f"{quoted(path)}: {quoted(info.filename)}"
        if info.filename in seen:
            raise WeightsError(f"{where}: repeated: expected each array once")
        seen.add(info.filename)
        name = info.filename.removesuffix(".npy")
        if name in ("", info.filename):
            raise WeightsError(f"{where}: not an array: expected a name that ends in .npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsError(f"{where}: compression {info.compress_type}: expected stored (0) or deflate (8)")
        yield name, _member(where, archive, info)


def _member(where: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    """Read the npy header of a member, within a bound, and compare it with the member's size."""
    with archive.open(info) as stream:
        head = io.BytesIO(stream.read(HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        if version not in _HEADER_READERS:
            raise ValueError(f"npy version {version[0]}.{version[1]}, expected 1.0 or 2.0")
        shape, fortran, dtype = _HEADER_READERS[version](head)
    except DAMAGE as error:
        raise WeightsError(f"{where}: not an npy array: {_one_line(error)}") from error
    if dtype.kind not in KINDS or dtype.itemsize > 8:
        raise WeightsError(f"{where}: no real numbers: got dtype {dtype}, expected floats of 16 to 64 bits or integers")
    if any(n < 1 for n in shape):
        raise WeightsError(f"{where}: holds no values: got shape {shape}")
    member = _Member(info.filename, Header(shape, dtype), fortran, head.tell())
    if info.file_size != member.skip + member.header.nbytes:
        raise WeightsError(
            f"{where}: size differs from its header: got {info.file_size - member.skip} bytes of values, "
            f"expected {member.header.nbytes} for shape {shape} of {dtype}"
        )
    return member


_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _load(path: str, member: _Member, state: tuple[int, int, int]) -> NDArray[Any]:
    """Read one array; WeightsError if it holds fewer or more bytes than announced, or its CRC is wrong."""
    where = f"{quoted(path)}: {quoted(member.filename)}"
    nbytes, limit = member.header.nbytes, Limits.detect().memory
    if nbytes > limit:
        raise OverLimit(f"{where}: too large to read: got {nbytes} bytes, expected at most {limit}")
    with _opened(path) as file:
        if _state(file) != state:
            raise WeightsError(f"{quoted(path)}: changed while it was being read")
        with zipfile.ZipFile(file) as archive, archive.open(member.filename) as stream:
            stream.read(member.skip)
            flat = np.empty(nbytes, np.uint8)
            filled = 0
            while block := stream.read(BLOCK):
                if filled + len(block) > nbytes:
                    raise WeightsError(f"{where}: more values than announced: expected {nbytes} bytes")
                flat[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
                filled += len(block)
    if filled != nbytes:
        raise WeightsError(f"{where}: data is truncated: got {filled} bytes, expected {nbytes}")
    values = flat.view(member.header.dtype)
    return values.reshape(member.header.shape, order="F" if member.fortran else "C")
