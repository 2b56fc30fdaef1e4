"""Whether the heaps of an HDF5 file can be walked: on some damage the HDF5 library never returns.

Texts of varying length, as h5py writes attributes, are kept in global heaps: ``GCOL``, version 1, the size of the heap,
then objects, each a number, a count, a size and data padded to 8 bytes. An object whose size brings the next one no
further makes the library read it for ever. Layout: HDF5 file format specification, version 3, section III.E.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

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


class Guarded(io.RawIOBase):
    """A file for HDF5 to read a little of: no byte of a heap that cannot be walked comes out, only an OSError.

    What HDF5 never asks for, such as gigabytes of voxels, is never looked at.

    >>> heap = b"GCOL" + struct.pack("<IQHHIQ", 1, 48, 1, 0, 0, 12) + bytes(16)
    >>> Guarded(io.BytesIO(bytes(8) + heap)).read(12)[8:]
    b'GCOL'
    >>> Guarded(io.BytesIO(bytes(8) + heap.replace(b"\\x0c", b"\\x7f"))).read(12)
    Traceback (most recent call last):
    OSError: a heap of it is damaged
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, as in every file."""
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        """Fill the front of a buffer and return how much, unless a damaged heap begins in it."""
        at, view = self._file.tell(), memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        # One that begins before or ends behind was given out, or will be, in parts.
        edge = len(_MAGIC) - 1
        start = max(0, at - edge)
        self._file.seek(start)
        text = self._file.read(at + len(data) + edge - start)
        if not all(_walks(self._file, start + found) for found in _found(text)):
            raise OSError("a heap of it is damaged")
        self._file.seek(at + len(data))
        view[: len(data)] = data
        return len(data)


def _found(text: bytes) -> Iterator[int]:
    """Yield where in a text heaps begin."""
    found = text.find(_MAGIC)
    while found >= 0:
        yield found
        found = text.find(_MAGIC, found + 1)


def _places(file: BinaryIO) -> Iterator[int]:
    """Yield where heaps begin; the same eight bytes among values would be a chance of one in 2**64."""
    start, tail = 0, b""
    file.seek(0)
    while block := file.read(_BLOCK):
        text = tail + block
        for found in _found(text):
            yield start - len(tail) + found
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
