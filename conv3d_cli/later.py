"""What a thread of its own finds while its caller does something else."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Later(Generic[T]):
    """The result of a function, which a thread begins to work on at once.

    >>> Later(lambda: 6 * 7).result()
    42
    """

    def __init__(self, find: Callable[[], T]) -> None:
        self._found: T | None = None
        self._error: BaseException | None = None
        # One that is still at it does not keep a stopped run from ending.
        self._thread = Thread(target=self._work, args=(find,), name="conv3d-later", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end of the work, however it ends."""
        self._thread.join()

    def result(self) -> T:
        """Wait for the result and return it; raises what the function has raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return cast("T", self._found)

    def take(self) -> T:
        """Return the result as ``result`` does, and let go of it: a second time there is None."""
        found, self._found = self.result(), None
        return found

    def _work(self, find: Callable[[], T]) -> None:
        try:
            self._found = find()
        except BaseException as error:  # carried to who asks
            self._error = error
