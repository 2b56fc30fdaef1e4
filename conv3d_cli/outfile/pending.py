"""One output on its way from a temporary file to its name, and back if anything fails."""

# pathlib's wrappers hide which system call fails, and the fault sweep strikes each of them by its os name.
# ruff: noqa: PTH105, PTH108, PTH116

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from contextlib import suppress
from typing import BinaryIO, cast

from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.outfile.checked import CheckedFile, naming
from conv3d_cli.outfile.names import Name, check_target, exists_already, fcntl, hidden, remove_stale

BUFFER = 1 << 16
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_serial = itertools.count()


class Pending:
    """One output on its way: its temporary file, and how to take it to its name or to undo it."""

    def __init__(self, path: Name, overwrite: bool) -> None:
        self.name = os.fspath(path)
        self.overwrite = overwrite
        self.target = check_target(path, overwrite)
        self.folder, base = os.path.split(self.target)
        self.temporary, self.backup = (hidden(self.folder, base, next(_serial)) for _ in range(2))
        self.raw: CheckedFile | None = None
        self.committed = self.settled = False
        remove_stale(self.folder, base)

    def open(self) -> None:
        """Create the temporary file, with the mode that its target has or would have."""
        with naming(self.name):
            # 0o666 less the umask: the mode that a plain open gives.
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
            descriptor = os.open(self.temporary, flags, 0o666)
            self.raw = CheckedFile(descriptor, self.name)
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
        with naming(self.name):
            held = os.fstat(self.raw.fileno()).st_size
            if held != self.raw.extent:
                raise OutputError(
                    f"{quoted(self.name)}: is short on the disk: got {held} bytes, expected {self.raw.extent}"
                )
            os.fsync(self.raw.fileno())
        self.file.close()

    def commit(self, keep_old: bool) -> None:
        """Give the file its name; with ``keep_old`` what was there can still come back."""
        with naming(self.name):
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
            raise exists_already(self.name) from None
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
            raise exists_already(self.name) from None
        try:
            os.replace(self.temporary, self.target)
        except BaseException:
            os.unlink(self.target)
            raise
        self.committed = True

    def settle(self) -> None:
        """Forget what was there, and bring the name to the disk."""
        with naming(self.name):
            with suppress(FileNotFoundError):
                os.unlink(self.backup)
            _sync_folder(self.folder)

    def discard(self) -> None:
        """Undo what was done, as far as that is possible, without an error of its own."""
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
