"""What all readers share: a file opened and hashed once, its announcements checked, its damage told in one line."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from conv3d_cli.errors import OverLimit, WeightsError, quoted
from conv3d_cli.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

State: TypeAlias = tuple[int, int, int]

BLOCK = 1 << 20
LONGEST_WORDS = 240
KINDS = "bfiu"
# What zipfile, zlib, h5py and numpy's header parser raise on a damaged or hostile file.
DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, OverflowError, RuntimeError, RecursionError),
    *(NotImplementedError, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


@contextmanager
def opened(path: str, kind: str, state: State | None = None) -> Iterator[BinaryIO]:
    """Open a regular file; whatever goes wrong while it is open becomes a WeightsError that names it.

    ``kind`` is what the file should be, for the message. With ``state`` the file has to be the one that had it.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise WeightsError(f"{quoted(path)}: not a regular file: expected weights in {kind}")
        with Path(path).open("rb") as file:
            if state is not None and state_of(file) != state:
                raise WeightsError(f"{quoted(path)}: changed while it was being read")
            yield file
    except (WeightsError, OverLimit):
        raise
    except MemoryError as error:
        raise OverLimit(f"{quoted(path)}: the weights cannot be read: there is not enough memory") from error
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{quoted(path)}: not a sound {kind} file: {one_line(error)}") from error
    except DAMAGE as error:
        raise WeightsError(f"{quoted(path)}: the weights cannot be read: {one_line(error)}") from error


def state_of(file: BinaryIO) -> State:
    """Return what changes when a file does."""
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns


def sha256_of(file: BinaryIO) -> str:
    """Return the hash of a file's bytes, from here to its end."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def one_line(error: object) -> str:
    """Return the words of an error on one line of bounded length."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    words = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 3] + "..."


def check_real(where: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise WeightsError for what cannot be weights: no real numbers, or no values at all."""
    if dtype.kind not in KINDS or dtype.itemsize > 8:
        raise WeightsError(
            f"{where}: no real numbers: got dtype {one_line(dtype)}, expected floats of 16 to 64 bits or integers"
        )
    if any(n < 1 for n in shape):
        raise WeightsError(f"{where}: holds no values: got shape {shape}")


def check_fits(where: str, nbytes: int) -> None:
    """Raise OverLimit for what memory does not hold."""
    limit = Limits.detect().memory
    if nbytes > limit:
        raise OverLimit(f"{where}: too large to read: got {nbytes} bytes, expected at most {limit}", nbytes)
