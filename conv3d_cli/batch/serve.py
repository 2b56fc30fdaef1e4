"""What a worker process does: wait for a job, do it, tell, until nobody is there to work for."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any

from conv3d_cli.batch.messages import DONE, FAILED, NOTE, PLANNED, READY, TICK
from conv3d_cli.batch.perform import Apply, Job, perform
from conv3d_cli.errors import quoted

TICK_SECONDS = 0.2
ALONE = 3
"""Exit code of a worker whose batch has gone, and that does not end by itself within PATIENCE."""

PATIENCE = 3.0

TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN", "EBUSY", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EIO",
        "ENETDOWN", "ENETRESET", "ENETUNREACH", "ENFILE", "ENOLCK", "EREMOTEIO", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Errors of the system that may be gone a moment later: of network drives, and of a machine short of handles."""

Verdict = Callable[[BaseException], tuple[int, list[str]]]


class _Mouth:
    """Tells the batch of a job."""

    def __init__(self, connection: Connection, inbox: SimpleQueue[Any]) -> None:
        self.connection, self.inbox = connection, inbox
        self.told = 0.0

    def planned(self, peak_bytes: int, seconds: float) -> None:
        """Tell what the work needs, and wait until it may begin."""
        self.connection.send((PLANNED, peak_bytes, seconds))
        self.inbox.get()

    def tick(self, share: float) -> None:
        """Tell what share of the work is done, now and then."""
        if monotonic() - self.told > TICK_SECONDS:
            self.told = monotonic()
            self.connection.send((TICK, share))

    def note(self, level: int, text: str) -> None:
        """Tell something that a person should know."""
        self.connection.send((NOTE, level, text))


def serve(descriptor: int, apply: Apply, verdict: Verdict) -> None:
    """Do the jobs that come through a socket until None comes; ``verdict`` gives an error its code and its words.

    When the other end is closed, as it is if the batch has been killed, the process ends as SIGTERM ends it.
    """
    connection = Connection(descriptor)
    inbox: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    mouth = _Mouth(connection, inbox)
    connection.send((READY,))
    while (job := inbox.get()) is not None:
        assert isinstance(job, Job)
        try:
            figures = perform(job, apply, mouth)
        except Exception as error:
            connection.send((FAILED, *told(error, job, verdict)))
        else:
            connection.send((DONE, figures))


def _listen(connection: Connection, inbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(PATIENCE)
        os._exit(ALONE)


def told(error: BaseException, job: Job, verdict: Verdict) -> tuple[int, str, bool]:
    """Return the code of an error, its words, which name the input, and whether it may pass."""
    code, lines = verdict(error)
    name = quoted(job.item.source)
    named = lines if any(name in line for line in lines) else [f"{name}: {line}" for line in lines]
    return code, "\n".join(named), transient(error)


def transient(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is of a kind that may pass.

    >>> transient(OSError(errno.ESTALE, "stale file handle")), transient(OSError(errno.ENOSPC, "disk full"))
    (True, False)
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in TRANSIENT:
            return True
        error = error.__cause__ or error.__context__
    return False
