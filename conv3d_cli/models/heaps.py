"""Whether the heaps of an HDF5 file can be walked: on some damage the HDF5 library never returns.

Texts of varying length, as h5py writes attributes, are kept in global heaps: ``GCOL``, version 1, the size of the heap,
then objects, each a number, a count, a size and data padded to 8 bytes. An object whose size brings the next one no
further makes the library read it for ever. Layout: HDF5 file format specification, version 3, section III.E.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_MAGIC = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<HHIQ")
_HEADER = 16
_BLOCK = 1 << 20


def heaps_are_sound(file: BinaryIO) -> bool:
    """Return whether every global heap of an HDF5 file, as 64-bit systems write it, ends where it says.

    >>> import io, struct
    >>> heap = b"GCOL" + struct.pack("<IQHHIQ", 1, 48, 1, 0, 0, 12) + bytes(16)
    >>> heaps_are_sound(io.BytesIO(heap)), heaps_are_sound(io.BytesIO(heap.replace(b"\\x0c", b"\\x7f")))
    (True, False)
    """
    return all(_walks(file, place) for place in list(_places(file)))


def _places(file: BinaryIO) -> Iterator[int]:
    """Yield where heaps begin; the same eight bytes among values would be a chance of one in 2**64."""
    start, tail = 0, b""
    file.seek(0)
    while block := file.read(_BLOCK):
        text = tail + block
        found = text.find(_MAGIC)
        while found >= 0:
            yield start - len(tail) + found
            found = text.find(_MAGIC, found + 1)
        start += len(block)
        tail = text[1 - len(_MAGIC) :]


def _walks(file: BinaryIO, place: int) -> bool:
    file.seek(place + len(_MAGIC))
    size = int.from_bytes(file.read(8), "little")
    at, end = place + _HEADER, place + size
    while at + _HEADER <= end:
        file.seek(at)
        data = file.read(_HEADER)
        if len(data) < _HEADER:
            return False
        number, _, _, length = _OBJECT.unpack(data)
        # Object 0 is what is free, with its own header in its size.
        step = length if number == 0 else _HEADER + -(-length // 8) * 8
        if step < _HEADER or at + step > end:
            return False
        at += step
    return True
