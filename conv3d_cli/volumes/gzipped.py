"""gzip with every member's CRC and length checked, by isal where it can be installed and by zlib elsewhere.

The frame (RFC 1952) is read here and only the deflate data is left to the library, so that both give the same errors.
"""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO, cast

from conv3d_cli.errors import VolumeError, quoted
from conv3d_cli.volumes.stream import ByteStream, size_of

MAGIC = b"\x1f\x8b"
#: Bytes of a member's header in front of its fields.
HEADER = 10
LEVEL = 1
INPUT = 1 << 17
OUTPUT = 1 << 20
#: Deflate cannot expand more: a match of 258 bytes takes at least 2 bits.
LARGEST_RATIO = 1032
LONGEST_FIELD = 1 << 16
FHCRC, FEXTRA, FNAME, FCOMMENT, RESERVED = 2, 4, 8, 16, 0xE0
#: The window sizes that tell zlib which frame is around the deflate data.
RAW_DEFLATE, ZLIB, GZIP = -15, 15, 31


def engine() -> tuple[Any, type[Exception]]:
    """Return the module that inflates and deflates, and the error it raises; they have one interface."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib, zlib.error
    # Its stubs call the class an instance.
    return isal_zlib, cast("type[Exception]", isal_zlib.error)


class GzipStream(ByteStream):
    """The content of a gzip file: members one after the other, and nothing behind the last."""

    def __init__(self, raw: BinaryIO, name: str, head: bytes = b"") -> None:
        size = size_of(raw, len(head))
        super().__init__(name, None if size is None else size * LARGEST_RATIO)
        self.raw = raw
        self.size = size
        self._engine, self._error = engine()
        self._pending = head
        self._pulled = len(head)
        self._member: Any = None
        self._members = 0
        self._crc = self._length = 0

    def close(self) -> None:
        """Close the file."""
        self.raw.close()

    def _some(self, view: memoryview) -> int:
        while self._member is not None or self._begin():
            try:
                piece = self._member.decompress(self._pending, min(len(view), OUTPUT))
            except self._error as error:
                at = self._pulled - len(self._pending)
                raise self._bad(f"is damaged: the gzip data cannot be inflated near byte {at}") from error
            self._crc = self._engine.crc32(piece, self._crc)
            self._length += len(piece)
            if self._member.eof:
                self._pending = self._member.unused_data
                self._end()
            else:
                self._pending = self._member.unconsumed_tail
                if not piece and not self._pending and not self._pull():
                    raise self._cut()
            if piece:
                view[: len(piece)] = piece
                return len(piece)
        return 0

    def _begin(self) -> bool:
        """Read a member's header; False at the end of the file."""
        if not self._pending and not self._pull():
            if self._members == 0:
                raise self._bad("is empty")
            return False
        if self._members and not self._follows():
            rest = "more" if self.size is None else self.size - self._at()
            raise self._bad(
                f"has something else behind its gzip data: bytes at {self._at()} and after: got {rest}, expected none"
            )
        header = bytearray(self._take(HEADER))
        if header[:2] != MAGIC:
            raise self._bad(f"is not gzip: got first bytes {header[:2].hex(' ')}, expected 1f 8b")
        if header[2] != 8 or header[3] & RESERVED:
            raise self._bad(
                f"is damaged: gzip method and flags are {header[2]}, {header[3]}, expected 8 and at most 31"
            )
        flags = header[3]
        if flags & FEXTRA:
            header += self._take(2)
            header += self._take(int.from_bytes(header[-2:], "little"))
        for flag in (FNAME, FCOMMENT):
            if flags & flag:
                header += self._text()
        if flags & FHCRC and int.from_bytes(self._take(2), "little") != zlib.crc32(header) & 0xFFFF:
            raise self._bad("is damaged: the CRC of its gzip header does not match")
        self._member = self._engine.decompressobj(wbits=RAW_DEFLATE)
        self._members += 1
        self._crc = self._length = 0
        return True

    def _follows(self) -> bool:
        """Return whether what stands behind a member can be the header of another."""
        while len(self._pending) < HEADER and self._pull():
            pass
        return len(self._pending) >= HEADER and self._pending.startswith(MAGIC)

    def _end(self) -> None:
        """Compare a member's CRC and length with its trailer."""
        self._member = None
        trailer = self._take(8)
        crc, length = int.from_bytes(trailer[:4], "little"), int.from_bytes(trailer[4:], "little")
        if crc != self._crc:
            raise self._bad(f"is damaged: the gzip CRC does not match: got {self._crc:08x}, expected {crc:08x}")
        if length != self._length & 0xFFFFFFFF:
            raise self._bad(f"is damaged: the gzip length does not match: got {self._length}, expected {length}")

    def _text(self) -> bytes:
        text = bytearray()
        while not text.endswith(b"\0"):
            text += self._take(1)
            if len(text) > LONGEST_FIELD:
                raise self._bad(f"is damaged: a gzip header field is longer than {LONGEST_FIELD} bytes")
        return bytes(text)

    def _take(self, count: int) -> bytes:
        while len(self._pending) < count:
            if not self._pull():
                raise self._cut()
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def _pull(self) -> bool:
        data = self.raw.read(INPUT) or b""
        self._pending += data
        self._pulled += len(data)
        return bool(data)

    def _at(self) -> int:
        return self._pulled - len(self._pending)

    def _cut(self) -> VolumeError:
        expected = f"at byte {self.at}" if self.expected is None else f"got {self.at} bytes, expected {self.expected}"
        return self._bad(f"the gzip data is cut after {self._pulled} compressed bytes: {expected}")

    def _bad(self, words: str) -> VolumeError:
        return VolumeError(f"{quoted(self.name)}: {words}")

    def _holds(self) -> str:
        return f"at most {self.bound} bytes from {self.size} compressed ones"


class GzipWriter:
    """A file-like that deflates what is written into another file, with no name and no time, so that runs repeat."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflate = engine()[0].compressobj(level=LEVEL, wbits=GZIP)

    def write(self, data: Any) -> None:
        """Deflate the bytes of a contiguous buffer."""
        self._file.write(self._deflate.compress(data))

    def finish(self) -> None:
        """Write what is left, the CRC and the length."""
        self._file.write(self._deflate.flush())
