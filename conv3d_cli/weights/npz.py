"""Weights in NumPy's npz: a zip of npy files, opened without pickle and believed in nothing.

Every member's size is compared with what its npy header announces before a value is read, and every value
goes through the CRC. Format: numpy.lib.format and zipfile.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from conv3d_cli.errors import WeightsError, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.weights.mapping import Header, Weights
from conv3d_cli.weights.opened import (
    BLOCK,
    DAMAGE,
    State,
    check_fits,
    check_real,
    one_line,
    opened,
    sha256_of,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

KIND = "npz"
MOST_MEMBERS = 10_000
HEADER_BYTES = 64 * 1024
EPOCH = (1980, 1, 1, 0, 0, 0)


@frozen
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
    with opened(path, KIND) as file:
        state, digest = state_of(file), sha256_of(file)
        with zipfile.ZipFile(file) as archive:
            members = dict(_members(path, archive))
    return Weights(
        path,
        digest,
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
        raise WeightsError(f"{where}: not an npy array: {one_line(error)}") from error
    check_real(where, shape, dtype)
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


def _load(path: str, member: _Member, state: State) -> NDArray[Any]:
    """Read one array; WeightsError if it holds fewer or more bytes than announced, or its CRC is wrong."""
    where = f"{quoted(path)}: {quoted(member.filename)}"
    nbytes = member.header.nbytes
    check_fits(where, nbytes)
    with (
        opened(path, KIND, state) as file,
        zipfile.ZipFile(file) as archive,
        archive.open(member.filename) as stream,
    ):
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
