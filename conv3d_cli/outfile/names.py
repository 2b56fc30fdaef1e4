"""Names of outputs and of their temporary files: what may be written, and what a dead process has left behind."""

# pathlib's wrappers hide which system call fails, and the fault sweep strikes each of them by its os name.
# ruff: noqa: PTH108, PTH112, PTH114, PTH116, PTH118, PTH120, PTH121, PTH208

from __future__ import annotations

import contextlib
import os
import re
import stat
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.outfile.checked import naming

try:
    import fcntl
except ImportError:  # no such locks here: the process id alone tells whether a temporary file is stale
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Name",
    "check_apart",
    "check_target",
    "exists_already",
    "fcntl",
    "hidden",
    "remove_leftovers",
    "remove_stale",
]

Name: TypeAlias = "str | os.PathLike[str]"

LONGEST_NAME = 255


def check_target(path: Name, overwrite: bool = False) -> str:
    """Return the real path that an output of this name would have; OutputError if it is already clear that it fails."""
    name = os.fspath(path)
    with naming(name):
        try:
            found: os.stat_result | None = os.stat(name)
        except FileNotFoundError:
            found = None
        if found is None and os.path.islink(name):
            raise OutputError(f"{quoted(name)}: cannot be written: it is a symlink to a file that does not exist")
        target = os.path.realpath(name)
        folder = os.path.dirname(target)
        if found is None and not os.path.isdir(folder):
            raise OutputError(f"{quoted(name)}: cannot be written: there is no folder {quoted(folder)}")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise OutputError(f"{quoted(name)}: cannot be written: it is a {_kind(found.st_mode)}, expected a regular file")
    if found is not None and not overwrite:
        raise exists_already(name)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{quoted(name)}: cannot be written: no permission to create files in {quoted(folder)}")
    return target


def exists_already(name: str) -> OutputError:
    """Return the error for a name that is taken, which says how to take it nevertheless."""
    words = "exists already: expected another name, or --overwrite (from Python overwrite=True)"
    return OutputError(f"{quoted(name)}: {words}")


def check_apart(path: Name, others: Iterable[Name]) -> None:
    """Raise OutputError if an output is, under whatever name, another file of the same run, which it would destroy."""
    for other in others:
        try:
            same = os.path.samefile(path, other)
        except OSError:
            same = os.path.realpath(path) == os.path.realpath(other)
        if same:
            raise OutputError(
                f"{quoted(os.fspath(path))}: cannot be written: {quoted(os.fspath(other))} is the same file, "
                "which this run needs"
            )


def _mark(host: str) -> str:
    return f"{zlib.crc32(host.encode()):08x}"


def _host() -> str:
    return _mark(os.uname().nodename)


def _prefix(base: str) -> str:
    room = LONGEST_NAME - len("..00000000-0000000-000000.part")
    while len(os.fsencode(base)) > room:
        base = base[:-1]
    return f".{base}."


def hidden(folder: str, base: str, serial: int) -> str:
    """Return the path of a temporary file beside its target, with its name, this host and this process."""
    return os.path.join(folder, f"{_prefix(base)}{_host()}-{os.getpid()}-{serial}.part")


def remove_leftovers(*paths: Name, host: str | None = None) -> None:
    """Remove what processes that are dead have left of outputs of these names, here or on another ``host``."""
    for path in paths:
        remove_stale(*os.path.split(os.path.realpath(path)), host=host)


def remove_stale(folder: str, base: str | None = None, host: str | None = None) -> None:
    """Remove temporary files whose process is dead, of one target or of all; those of another host are left alone.

    Of a ``host`` whose processes have ended all of its files go that are not locked.
    """
    front = r"\..+\." if base is None else re.escape(_prefix(base))
    here = os.uname().nodename
    pattern = re.compile(front + _mark(host or here) + r"-(\d+)-\d+\.part")
    with suppress(OSError):
        for entry in os.listdir(folder):
            match = pattern.fullmatch(entry)
            if match and (host not in (None, here) or not _alive(int(match[1]))):
                _remove_unlocked(os.path.join(folder, entry))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove_unlocked(path: str) -> None:
    """Remove a temporary file unless its lock is held: in another container its process would look dead from here."""
    with suppress(OSError), contextlib.ExitStack() as stack:
        if fcntl is not None:
            descriptor = os.open(path, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            except OSError:
                pass
        os.unlink(path)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")
