"""A descriptor in which every error of the system becomes an OutputError that names the file."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import OutputError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes written at once of which the disk is told right away, rather than at the end with all others.
LARGE = 1 << 19


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turn an error of the system into an OutputError with the name of the file and the system's words."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{quoted(name)}: cannot be written: {words}") from error


class CheckedFile(io.RawIOBase):
    """A descriptor whose every system error is an OutputError that names the file, and that knows its own length."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__()
        self.descriptor: int | None = descriptor
        self.name = name
        self.at = self.extent = 0

    def fileno(self) -> int:
        """Return the descriptor."""
        if self.descriptor is None:
            raise ValueError("the file is closed")
        return self.descriptor

    def readable(self) -> bool:
        """Say that it can be read back, as HDF5 does."""
        return True

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def seekable(self) -> bool:
        """Say that it has positions."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at the position."""
        with naming(self.name):
            got = os.readv(self.fileno(), [buffer])
        self.at += got
        return got

    def write(self, data: Any) -> int:
        """Write at the position, as much as the system takes at once."""
        with naming(self.name):
            sent = os.write(self.fileno(), data)
        if sent >= LARGE:
            _send_on(self.fileno(), self.at, sent)
        self.at += sent
        self.extent = max(self.extent, self.at)
        return sent

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        with naming(self.name):
            self.at = os.lseek(self.fileno(), offset, whence)
        return self.at

    def tell(self) -> int:
        """Return the position."""
        return self.at

    def truncate(self, size: int | None = None) -> int:
        """Set the length."""
        length = self.at if size is None else size
        with naming(self.name):
            os.ftruncate(self.fileno(), length)
        self.extent = length
        return length

    def close(self) -> None:
        """Close the descriptor, once."""
        descriptor, self.descriptor = self.descriptor, None
        super().close()
        if descriptor is not None:
            with naming(self.name):
                os.close(descriptor)


def _send_on(descriptor: int, start: int, length: int) -> None:
    """Have the system begin to write bytes to the disk, while those that follow are still made.

    POSIX_FADV_DONTNEED starts that for pages that are not written yet, and keeps them: only written ones are let go.
    """
    with suppress(OSError, AttributeError):  # a pipe, or a system without the call: it is advice
        os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
