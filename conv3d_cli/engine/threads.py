"""Work shared by threads, each taking its next piece from a common counter; signals and errors stop all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1
LATE_POLLS = 2


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
    once all threads have ended.
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
        # Not Thread.join: up to Python 3.12 one that a signal's exception has left takes the thread for ended.
        with suppress(Empty):
            woken.get(timeout=POLL_SECONDS)

    started = 0
    try:
        for i in range(threads):
            threading.Thread(target=guarded, name=f"conv3d-{i}", daemon=True).start()
            started += 1
        while len(ended) < started:
            wait()
            if tick is not None:
                tick()
        if tick is not None:
            tick()
    finally:
        stop()
        # A signal may have come while a thread was on its way: it is given a moment to appear.
        for _ in range(LATE_POLLS):
            if started == threads or len(begun) > started:
                break
            wait()
        while len(ended) < len(begun):
            wait()
    if errors:
        raise errors[0]
