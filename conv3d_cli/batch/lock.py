"""A lock that keeps two batches out of one folder, and with it those who work for a batch on other machines."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from conv3d_cli.batch.naming import STATE_FOLDER
from conv3d_cli.errors import OutputError, quoted

GUESTS = "guests"
PATIENCE = 10.0
"""Seconds to wait for the processes of a batch that was killed: they hold its lock until they notice, and end."""


@contextmanager
def locked(folder: str, shard: tuple[int, int] | None = None) -> Iterator[tuple[int, ...]]:
    """Hold the lock of a folder, which is made if it is not there, and give the descriptors that hold it.

    Whoever inherits them holds the lock too; who works elsewhere holds that of ``guests`` instead. A ``shard``, the
    I-th of N parts, shares the folder with the other parts of N. OutputError if another batch has it, which it names.
    """
    path = Path(folder, STATE_FOLDER)
    with ExitStack() as stack:
        try:
            path.mkdir(parents=True, exist_ok=True)
            descriptors = [_opened(path / name, stack) for name in _names(shard)]
            for descriptor in descriptors:
                _take(descriptor, fcntl.LOCK_EX if descriptor == descriptors[-1] else fcntl.LOCK_SH, folder)
            _sign(descriptors[-1])
            if shard is not None:
                _refuse_other_parts(path, shard[1], folder)
            _outlast_guests(path, shard, folder)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"{quoted(folder)}: cannot be written: {error.strerror}") from None
        yield tuple(descriptors)


def _names(shard: tuple[int, int] | None) -> list[str]:
    """Return the files to lock: the last for this batch alone, those before together with others."""
    return ["lock"] if shard is None else ["lock", "lock-{}-of-{}".format(*shard)]


def _refuse_other_parts(path: Path, parts: int, folder: str) -> None:
    """Raise OutputError if a batch of another number of parts is at work: its parts overlap with these."""
    for other in path.glob("lock-*-of-*"):
        if not other.name.endswith(f"-of-{parts}"):
            with ExitStack() as stack:
                _take(_opened(other, stack), fcntl.LOCK_EX, folder)


def lock_file(folder: str, shard: tuple[int, int] | None = None) -> str:
    """Return the file that only this batch, or this part of one, has locked; it says who that is."""
    return str(Path(folder, STATE_FOLDER, _names(shard)[-1]))


def guests(folder: str, shard: tuple[int, int] | None = None) -> str:
    """Return the file that everybody locks, together with others, who works for a batch from another machine."""
    return str(Path(folder, STATE_FOLDER, _names(shard)[-1].replace("lock", GUESTS, 1)))


@contextmanager
def visiting(path: str) -> Iterator[int]:
    """Hold the lock of guests, and give its descriptor. Raises OSError."""
    with ExitStack() as stack:
        descriptor = _opened(Path(path), stack)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor


def vacated(path: str, seconds: float) -> bool:
    """Wait until no guest is left, or so many seconds, and return whether all have gone. Raises OSError."""
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        descriptor = _opened(Path(path), stack)
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.05)


def _outlast_guests(path: Path, shard: tuple[int, int] | None, folder: str) -> None:
    """Wait for those who still work for a batch that has ended; OutputError if they do not stop."""
    own = guests(folder, shard)
    for other in map(str, path.glob(f"{GUESTS}*")):
        beside = shard is not None and other.endswith(f"-of-{shard[1]}") and other != own
        if not beside and not vacated(other, PATIENCE):
            raise OutputError(
                f"{quoted(folder)}: is in use by another batch: it has ended, and its workers elsewhere still work"
            )


def _opened(path: Path, stack: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    stack.callback(os.close, descriptor)
    return descriptor


def _sign(descriptor: int) -> None:
    """Write who holds a lock."""
    holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):  # what it says helps a person; the lock itself is held
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _take(descriptor: int, kind: int, folder: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(descriptor)
            if not _ended(holder) or time.monotonic() > until:
                raise OutputError(f"{quoted(folder)}: is in use by another batch: {_words(holder)}") from None
        except OSError as error:
            raise OutputError(f"{quoted(folder)}: cannot be locked: {error.strerror}") from None
        time.sleep(0.05)


def _holder(descriptor: int) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        known = json.loads(os.pread(descriptor, 4096, 0))
        if isinstance(known, dict):
            return known
    return {}


def _ended(holder: dict[str, Any]) -> bool:
    """Return whether the process that took the lock is no more: then only its workers hold it, and not for long."""
    if holder.get("host") != os.uname().nodename or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _words(holder: dict[str, Any]) -> str:
    if not holder:
        return "expected none, or another folder"
    return f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
