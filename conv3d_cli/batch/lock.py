"""A lock that keeps two batches out of one folder."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from conv3d_cli.batch.naming import STATE_FOLDER
from conv3d_cli.errors import OutputError, quoted

PATIENCE = 10.0
"""Seconds to wait for the processes of a batch that was killed: they hold its lock until they notice, and end."""


@contextmanager
def locked(folder: str) -> Iterator[int]:
    """Hold the lock of a folder, which is made if it is not there, and give the descriptor that holds it.

    Whoever inherits the descriptor holds the lock too. OutputError if another batch has it, which it names.
    """
    path = Path(folder, STATE_FOLDER, "lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OutputError(f"{quoted(folder)}: cannot be written: {error.strerror}") from None
    try:
        _take(descriptor, folder)
        holder = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with suppress(OSError):  # what it says helps a person; the lock itself is held
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
