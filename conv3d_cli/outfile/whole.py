"""Outputs that appear whole, or not at all."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from conv3d_cli.errors import OutputError, UsageError
from conv3d_cli.outfile.checked import CheckedFile, naming
from conv3d_cli.outfile.pending import BUFFER, Pending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conv3d_cli.outfile.names import Name


@contextmanager
def replacing(path: Name, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Give a binary file, readable and seekable too, that becomes ``path`` when the block ends without an error.

    An existing file is an OutputError unless ``overwrite``; it then keeps its permissions. A symlink stays and its
    target is replaced. OutputError, naming the file and the system's words, for everything that cannot be written.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.bin")
    >>> with replacing(path) as file:
    ...     _ = file.write(b"abc")
    >>> path.read_bytes(), [entry.name for entry in path.parent.iterdir()]
    (b'abc', ['a.bin'])
    """
    with replacing_all([path], overwrite) as (file,):
        yield file


@contextmanager
def replacing_all(paths: Sequence[Name], overwrite: bool = False) -> Iterator[list[BinaryIO]]:
    """Give one file for each path, such that all take their names or, as far as the system allows, none does."""
    pending: list[Pending] = []
    try:
        for path in paths:
            pending.append(Pending(path, overwrite))
            pending[-1].open()
        yield [one.file for one in pending]
        for one in pending:
            one.finish()
        for one in pending:
            one.commit(keep_old=len(pending) > 1)
        # From here all is in place, and what may still fail takes nothing back.
        for one in pending:
            one.settled = True
        for one in pending:
            one.settle()
    except BaseException:
        for one in reversed(pending):
            one.discard()
        raise


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Give the standard output as a binary file; UsageError if it is a terminal, OutputError if it takes no more."""
    if sys.stdout is None:
        raise OutputError("'standard output': cannot be written: it is closed")
    check_not_a_terminal()
    try:
        raw: io.RawIOBase = CheckedFile(os.dup(sys.stdout.fileno()), "standard output")
    except (OSError, ValueError):  # no descriptor behind it, as under a test runner
        yield cast("BinaryIO", sys.stdout.buffer)
        return
    file = io.BufferedWriter(raw, BUFFER)
    try:
        with naming("standard output"):
            sys.stdout.flush()
        yield cast("BinaryIO", file)
        file.flush()
    finally:
        # After a failure the buffer still holds bytes, and closing would try them again.
        with suppress(OSError):
            file.close()


def check_not_a_terminal() -> None:
    """Raise UsageError if the standard output is a terminal, which binary data would upset."""
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("'standard output': is a terminal, and a volume is binary: send it to a pipe or a file")
