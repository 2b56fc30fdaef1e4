"""The only code that creates output files: each appears whole, or not at all, and never over a file unasked.

A file is written under a hidden name beside its target, checked, flushed to the disk, and only then takes the
target's name. Whatever ends a run before that, an error, a signal or a full disk, leaves the target as it was.
"""

# The os functions stand here by name, instead of pathlib's wrappers, because the fault sweep strikes each of them.
# ruff: noqa: PTH

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeAlias, cast

from conv3d_cli.errors import OutputError, UsageError, quoted

try:
    import fcntl
except ImportError:  # no such locks here: the process id alone tells whether a temporary file is stale
    fcntl = None  # type: ignore[assignment]

Name: TypeAlias = "str | os.PathLike[str]"

BUFFER = 1 << 20
LONGEST_NAME = 255
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_serial = itertools.count()


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
    pending: list[_Pending] = []
    try:
        for path in paths:
            pending.append(_Pending(path, overwrite))
            pending[-1].open()
        yield [one.file for one in pending]
        for one in pending:
            one.finish()
        for one in pending:
            one.commit(keep_old=len(pending) > 1)
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
        raise OutputError("standard output: cannot be written: it is closed")
    check_not_a_terminal()
    try:
        raw: io.RawIOBase = _Checked(os.dup(sys.stdout.fileno()), "standard output")
    except (OSError, ValueError):  # no descriptor behind it, as under a test runner
        yield cast("BinaryIO", sys.stdout.buffer)
        return
    file = io.BufferedWriter(raw, BUFFER)
    try:
        with _naming("standard output"):
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
        raise UsageError(
            "standard output: is a terminal, and a volume is binary: send it to a pipe or a file"
        )


def check_target(path: Name, overwrite: bool = False) -> str:
    """Return the real path that an output of this name would have; OutputError if it is already clear that it fails."""
    name = os.fspath(path)
    with _naming(name):
        try:
            found: os.stat_result | None = os.stat(name)
        except FileNotFoundError:
            found = None
        if found is None and os.path.islink(name):
            raise OutputError(
                f"{quoted(name)}: cannot be written: it is a symlink to a file that does not exist"
            )
        target = os.path.realpath(name)
        folder = os.path.dirname(target)
        if found is None and not os.path.isdir(folder):
            raise OutputError(f"{quoted(name)}: cannot be written: there is no folder {quoted(folder)}")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise OutputError(
            f"{quoted(name)}: cannot be written: it is a {_kind(found.st_mode)}, expected a regular file"
        )
    if found is not None and not overwrite:
        raise OutputError(f"{quoted(name)}: exists already, and overwriting was not asked for")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{quoted(name)}: cannot be written: no permission to create files in {quoted(folder)}"
        )
    return target


class _Checked(io.RawIOBase):
    """A descriptor whose every system error is an OutputError that names the file, and that knows its own length."""

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__()
        self.descriptor: int | None = descriptor
        self.name = name
        self.at = self.extent = 0

    def fileno(self) -> int:
        if self.descriptor is None:
            raise ValueError("the file is closed")
        return self.descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _naming(self.name):
            got = os.readv(self.fileno(), [buffer])
        self.at += got
        return got

    def write(self, data: Any) -> int:
        with _naming(self.name):
            sent = os.write(self.fileno(), data)
        self.at += sent
        self.extent = max(self.extent, self.at)
        return sent

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _naming(self.name):
            self.at = os.lseek(self.fileno(), offset, whence)
        return self.at

    def tell(self) -> int:
        return self.at

    def truncate(self, size: int | None = None) -> int:
        length = self.at if size is None else size
        with _naming(self.name):
            os.ftruncate(self.fileno(), length)
        self.extent = length
        return length

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, None
        super().close()
        if descriptor is not None:
            with _naming(self.name):
                os.close(descriptor)


class _Pending:
    """One output on its way: its temporary file, and how to take it to its name or to undo it."""

    def __init__(self, path: Name, overwrite: bool) -> None:
        self.name = os.fspath(path)
        self.overwrite = overwrite
        self.target = check_target(path, overwrite)
        self.folder, base = os.path.split(self.target)
        self.temporary, self.backup = (_hidden(self.folder, base, next(_serial)) for _ in range(2))
        self.raw: _Checked | None = None
        self.committed = self.settled = False
        _remove_stale(self.folder, base)

    def open(self) -> None:
        with _naming(self.name):
            # 0o666 less the umask: the mode that a plain open gives.
            flags = (
                os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
            )
            descriptor = os.open(self.temporary, flags, 0o666)
            self.raw = _Checked(descriptor, self.name)
            self.file = cast("BinaryIO", io.BufferedRandom(self.raw, BUFFER))
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                old = os.stat(self.target)
                with suppress(PermissionError):
                    os.fchown(descriptor, old.st_uid, old.st_gid)
                with suppress(PermissionError):
                    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))

    def finish(self) -> None:
        """Bring every byte to the disk, while the file still has its temporary name."""
        assert self.raw is not None
        self.file.flush()
        with _naming(self.name):
            held = os.fstat(self.raw.fileno()).st_size
            if held != self.raw.extent:
                raise OutputError(
                    f"{quoted(self.name)}: is short on the disk: got {held} bytes, expected {self.raw.extent}"
                )
            os.fsync(self.raw.fileno())
        self.file.close()

    def commit(self, keep_old: bool) -> None:
        with _naming(self.name):
            if self.overwrite and keep_old:
                with suppress(FileNotFoundError):
                    _link_or_nothing(self.target, self.backup)
            if self.overwrite:
                os.replace(self.temporary, self.target)
                self.committed = True
            else:
                self._link()

    def _link(self) -> None:
        """Take the name only if it is still free: a rename would replace a file that another has made meanwhile."""
        try:
            os.link(self.temporary, self.target)
        except FileExistsError:
            raise OutputError(
                f"{quoted(self.name)}: exists already, and overwriting was not asked for"
            ) from None
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            self._claim()
            return
        self.committed = True
        os.unlink(self.temporary)

    def _claim(self) -> None:
        """Where files cannot be linked: take the name with an empty file, then replace that."""
        try:
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            raise OutputError(
                f"{quoted(self.name)}: exists already, and overwriting was not asked for"
            ) from None
        try:
            os.replace(self.temporary, self.target)
        except BaseException:
            os.unlink(self.target)
            raise
        self.committed = True

    def settle(self) -> None:
        self.settled = True
        with _naming(self.name):
            with suppress(FileNotFoundError):
                os.unlink(self.backup)
            _sync_folder(self.folder)

    def discard(self) -> None:
        if self.raw is not None:
            with suppress(OSError):
                self.file.close()
        if self.committed and not self.settled:
            with suppress(OSError):
                if os.path.lexists(self.backup):
                    os.replace(self.backup, self.target)
                elif not self.overwrite:
                    os.unlink(self.target)
        for leftover in (self.temporary, self.backup):
            with suppress(OSError):
                os.unlink(leftover)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{quoted(name)}: cannot be written: {words}") from error


def _link_or_nothing(source: str, name: str) -> None:
    try:
        os.link(source, name)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise


def _sync_folder(folder: str) -> None:
    """Bring the new name to the disk; some file systems cannot sync a folder, and say so."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def _host() -> str:
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


def _prefix(base: str) -> str:
    room = LONGEST_NAME - len("..00000000-0000000-000000.part")
    while len(os.fsencode(base)) > room:
        base = base[:-1]
    return f".{base}."


def _hidden(folder: str, base: str, serial: int) -> str:
    return os.path.join(folder, f"{_prefix(base)}{_host()}-{os.getpid()}-{serial}.part")


def _remove_stale(folder: str, base: str) -> None:
    """Remove temporary files of the same target whose process is dead; those of another host are left alone."""
    pattern = re.compile(re.escape(_prefix(base) + _host()) + r"-(\d+)-\d+\.part")
    with suppress(OSError):
        for entry in os.listdir(folder):
            match = pattern.fullmatch(entry)
            if match and not _alive(int(match[1])):
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
