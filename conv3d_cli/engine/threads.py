"""Work shared by threads, each taking its next piece from a common counter; signals and errors stop all of them.

What compiled code has done soon is shared by threads of its own (native/team.hpp), which Python need not wake.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar

from conv3d_cli.engine import isa
from conv3d_cli.engine.processors import NOWHERE, confine, free

T = TypeVar("T")

POLL_SECONDS = 0.1
LATE_POLLS = 2
BRIEF = 0.02
"""Seconds that a signal may wait: in work that is over sooner the calling thread takes part."""

INLINE_SECONDS = 3e-4
"""Seconds below which other threads are not worth waking."""


class Pieces(Generic[T]):
    """An iterator that several threads may draw from; ``close`` ends it for all of them.

    >>> list(Pieces([1, 2, 3]))
    [1, 2, 3]
    """

    def __init__(self, pieces: Iterable[T]) -> None:
        self._pieces = iter(pieces)
        self._lock = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[T]:
        """Return itself: each piece goes to one thread."""
        return self

    def __next__(self) -> T:
        """Return the next piece that no thread has taken."""
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._pieces)

    def close(self) -> None:
        """Give out no further piece."""
        with self._lock:
            self._closed = True


class Worker:
    """A thread that does what it is given, and then waits for more: starting one costs as much as a small volume."""

    idle: list[Worker] = []  # noqa: RUF012 - those of the whole process

    def __init__(self) -> None:
        self._inbox: SimpleQueue[tuple[Callable[[], None], frozenset[int]]] = SimpleQueue()
        self._number = 0
        threading.Thread(target=self._live, name="conv3d-worker", daemon=True).start()

    @classmethod
    def lend(cls, work: Callable[[], None], *, here: bool) -> None:
        """Have a thread do some work, which must not raise: one that waits, or a new one.

        It begins on this processor, which the calling thread is about to leave, or on another.
        """
        try:
            worker = cls.idle.pop()
        except IndexError:
            worker = cls()
        worker._inbox.put((work, confine(worker._number, here=here) if worker._number else NOWHERE))

    def _live(self) -> None:
        self._number = threading.get_native_id()
        while True:
            work, processors = self._inbox.get()
            free(processors)
            work()
            del work  # what it holds goes with it
            self.idle.append(self)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Worker.idle.clear)  # a child process has none of its parent's threads


def share(
    work: Callable[[], None],
    threads: int,
    *,
    stop: Callable[[], None],
    tick: Callable[[], None] | None = None,
) -> None:
    """Run the same ``work`` in ``threads`` threads until each returns; ``tick`` is called now and then meanwhile.

    The calling thread only waits, so that a signal is handled at once even while compiled code runs. On the first
    error, or a signal's exception, ``stop`` is called, which must make ``work`` return soon; the error is raised again
    once all threads are done.
    """
    errors: list[BaseException] = []
    begun: list[None] = []
    ended: list[None] = []
    woken: SimpleQueue[None] = SimpleQueue()

    def guarded() -> None:
        begun.append(None)
        try:
            work()
        except BaseException as error:  # carried to the calling thread
            errors.append(error)
            stop()
        finally:
            ended.append(None)
            woken.put(None)

    def wait() -> None:
        with suppress(Empty):
            woken.get(timeout=POLL_SECONDS)

    started = 0
    try:
        for last in range(1 - threads, 1):
            Worker.lend(guarded, here=last == 0)
            started += 1
        while len(ended) < started:
            wait()
            if tick is not None:
                tick()
        if tick is not None:
            tick()
    finally:
        stop()
        # A signal may have come while work was on its way to a thread: it is given a moment to appear.
        for _ in range(LATE_POLLS):
            if started == threads or len(begun) > started:
                break
            wait()
        while len(ended) < started or len(ended) < len(begun):
            wait()
    if errors:
        raise errors[0]


class Job(Protocol):
    """A piece of work of compiled code, as native/shared_job.hpp shows it; any number of threads may take part."""

    @property
    def done(self) -> int:
        """Pieces that are computed."""

    @property
    def total(self) -> int:
        """Pieces in all."""

    def work(self) -> None:
        """Compute pieces until none is left."""

    def together(self, threads: int) -> None:
        """Compute all, in this thread and others that join it."""

    def cancel(self) -> None:
        """Let every thread stop soon."""


def summon(threads: int, seconds: float) -> None:
    """Wake the threads that will take part in a job of so many ``seconds``, while it is still prepared.

    >>> summon(2, seconds=1e-3)
    """
    module = isa.native()
    if module is not None and threads > 1 and INLINE_SECONDS <= seconds < BRIEF:
        module.summon(threads)


def carry_out(job: Job, threads: int, *, seconds: float, tick: Callable[[float], None] | None = None) -> None:
    """Do a job in ``threads`` threads, this one alone where it is over too soon for others to pay.

    ``seconds`` is what it is predicted to take. The calling thread takes part where that is less than BRIEF and nobody
    listens; else it only waits, and ``tick`` hears the share done.
    """
    if seconds < INLINE_SECONDS:
        job.work()
    elif tick is None and seconds < BRIEF:
        job.together(threads)
    else:
        report = (lambda: tick(job.done / job.total)) if tick is not None else None
        share(job.work, min(threads, job.total), stop=job.cancel, tick=report)
    if tick is not None:
        tick(1.0)
