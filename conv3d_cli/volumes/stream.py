"""The bytes of a file in their order, each read once, never more than its header announces, checked to the last."""

from __future__ import annotations

import os
import stat
import sys
import tokenize
import zlib
from contextlib import contextmanager
from io import FileIO
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from conv3d_cli.errors import Conv3dError, OverLimit, VolumeError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What damaged input makes Python's and the libraries' parsers raise. KeyboardInterrupt is not among them.
DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    EOFError,
    LookupError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
    zlib.error,
)
#: Bytes of one read: a signal waits no longer than this takes.
PIECE = 8 << 20


@contextmanager
def reading(name: str, *others: type[Exception]) -> Iterator[None]:
    """Turn everything that a bad file can raise, and ``others``, into a one-line VolumeError that names the file."""
    try:
        yield
    except Conv3dError:
        raise
    except MemoryError as error:
        raise OverLimit(f"{quoted(name)}: cannot be read: there is not enough memory{_tail(error)}") from error
    except OSError as error:
        words = error.strerror or one_line(error)
        raise VolumeError(f"{quoted(name)}: cannot be read: {words}") from error
    except (*DAMAGE, *others) as error:
        raise VolumeError(f"{quoted(name)}: is damaged: {one_line(error)}") from error


def one_line(error: object, longest: int = 240) -> str:
    """Return the words of an error on one line of bounded length."""
    words = " ".join(str(error).split()) or type(error).__name__
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)
    return printable if len(printable) <= longest else printable[: longest - 3] + "..."


class ByteStream:
    """Bytes in order. ``at`` counts those given out, ``bound`` is the most there can be (None: not known)."""

    def __init__(self, name: str, bound: int | None) -> None:
        self.name = name
        self.bound = bound
        self.at = 0
        self.expected: int | None = None

    def readinto(self, buffer: Any) -> None:
        """Fill a contiguous buffer; VolumeError with byte counts if the data ends before."""
        view = memoryview(buffer).cast("B")
        start = self.at
        while self.at - start < len(view):
            offset = self.at - start
            got = self._some(view[offset : offset + PIECE])
            if got == 0:
                expected = start + len(view) if self.expected is None else self.expected
                raise VolumeError(f"{quoted(self.name)}: data is cut: got {self.at} bytes, expected {expected}")
            self.at += got

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; only for small counts."""
        buffer = bytearray(count)
        self.readinto(buffer)
        return bytes(buffer)

    def skip_to(self, offset: int) -> None:
        """Read on to a position counted from the first byte, keeping nothing."""
        buffer = memoryview(bytearray(min(PIECE, max(offset - self.at, 0))))
        while self.at < offset:
            self.readinto(buffer[: offset - self.at])

    def expect(self, total: int) -> None:
        """Compare what a header announces, counted from the first byte, with what the file can hold."""
        self.expected = total
        if self.bound is not None and total > self.bound:
            raise VolumeError(f"{quoted(self.name)}: data is cut: got {self._holds()}, expected {total}")

    def finish(self) -> None:
        """Check that the data ends here."""
        if self._some(memoryview(bytearray(1))):
            raise VolumeError(f"{quoted(self.name)}: holds more than its header announces: expected {self.at} bytes")

    def close(self) -> None:
        """Close the file."""

    def _some(self, view: memoryview) -> int:
        """Fill the front of ``view`` and return how much; 0 only at the end of the data."""
        raise NotImplementedError

    def _holds(self) -> str:
        return f"{self.bound} bytes"


class PlainStream(ByteStream):
    """The bytes of a file as they stand, or of a pipe, whose size nobody knows."""

    def __init__(self, raw: BinaryIO, name: str, head: bytes = b"") -> None:
        super().__init__(name, size_of(raw, len(head)))
        self.raw = raw
        self._head = head

    def expect(self, total: int) -> None:
        """Compare what a header announces with the file's size: neither more nor less."""
        super().expect(total)
        if self.bound is not None and total < self.bound:
            raise VolumeError(
                f"{quoted(self.name)}: holds more than its header announces: got {self.bound} bytes, expected {total}"
            )

    def close(self) -> None:
        """Close the file."""
        self.raw.close()

    def _some(self, view: memoryview) -> int:
        if self._head:
            count = min(len(self._head), len(view))
            view[:count], self._head = self._head[:count], self._head[count:]
            return count
        # readinto is missing from BinaryIO's protocol, yet every binary file has it.
        with reading(self.name):
            return self.raw.readinto(view) or 0  # type: ignore[attr-defined]


class Hashing:
    """A pipe whose bytes are hashed as they pass, since nobody can read them a second time."""

    def __init__(self, raw: BinaryIO) -> None:
        import hashlib

        self.raw = raw
        self.digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        """Return at most ``count`` bytes."""
        data = self.raw.read(count) or b""
        self.digest.update(data)
        return data

    def readinto(self, view: memoryview) -> int:
        """Fill the front of a buffer and return how much."""
        count: int = self.raw.readinto(view) or 0  # type: ignore[attr-defined]
        self.digest.update(view[:count])
        return count

    def fileno(self) -> int:
        """Return the descriptor of the pipe."""
        return self.raw.fileno()

    def tell(self) -> int:
        """Return the position, where the pipe is a file after all."""
        return self.raw.tell()

    def close(self) -> None:
        """Close the pipe, unless it is the standard input, which is not ours."""
        if sys.stdin is None or self.raw is not sys.stdin.buffer:
            self.raw.close()


def open_raw(name: str) -> BinaryIO:
    """Return a file opened for reading without a buffer of its own."""
    with reading(name):
        return cast("BinaryIO", FileIO(name))


def size_of(file: BinaryIO, taken: int = 0) -> int | None:
    """Return the bytes of a regular file from ``taken`` before its position; None for what has no known size."""
    try:
        found = os.fstat(file.fileno())
        return found.st_size - file.tell() + taken if stat.S_ISREG(found.st_mode) else None
    except (OSError, ValueError):
        return None


def _tail(error: MemoryError) -> str:
    words = one_line(error)
    return "" if words == "MemoryError" else f": {words}"
