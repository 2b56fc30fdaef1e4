"""Work shared by threads, each taking its next piece from a common counter; signals and errors stop all of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from conv3d_cli.engine.processors import NOWHERE, confine, free

T = TypeVar("T")

POLL_SECONDS = 0.1
LATE_POLLS = 2
BRIEF = 0.02
"""Seconds that a signal may wait: work that is over sooner is shared by the calling thread."""


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
        self._confined = NOWHERE
        threading.Thread(target=self._live, name="conv3d-worker", daemon=True).start()

    @classmethod
    def lend(cls, work: Callable[[], None], *, here: bool, brief: bool) -> None:
        """Have a thread do some work, which must not raise: one that waits, or a new one.

        It begins on this processor, which the calling thread is about to leave, or on another; ``brief`` work it may
        have to do there to its end.
        """
        try:
            worker = cls.idle.pop()
        except IndexError:
            worker = cls()
        allowed = NOWHERE
        if worker._number:
            allowed, worker._confined = confine(worker._number, here=here, now=worker._confined)
        worker._inbox.put((work, NOWHERE if brief else allowed))

    def _live(self) -> None:
        self._number = threading.get_native_id()
        while True:
            work, processors = self._inbox.get()
            if processors:
                free(processors)
                self._confined = NOWHERE
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
    seconds: float = inf,
) -> None:
    """Run the same ``work`` in ``threads`` threads until each returns; ``tick`` is called now and then meanwhile.

    The calling thread only waits, so that a signal is handled at once even while compiled code runs; but it is one of
    the threads where that takes fewer than BRIEF ``seconds`` and nobody listens, for to wake another and be woken by it
    costs as much as a small volume. On the first error, or a signal's exception, ``stop`` is called, which must make
    ``work`` return soon; the error is raised again once all threads are done.
    """
    joins = tick is None and seconds < BRIEF
    others = threads - joins
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
        for last in range(1 - others, 1):
            Worker.lend(guarded, here=last == 0 and not joins, brief=joins)
            started += 1
        if joins:
            work()
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
            if started == others or len(begun) > started:
                break
            wait()
        while len(ended) < started or len(ended) < len(begun):
            wait()
    if errors:
        raise errors[0]
