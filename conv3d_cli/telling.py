"""The loggers of this package; their library is imported with the first line that is heard: most runs tell none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
"""The levels of ``logging``."""

NOTHING = ERROR + 1
"""Above all that is told."""


class Log:
    """Tells what ``logging.getLogger(name)`` does, which is not there before it is needed.

    >>> Log("conv3d").debug("%d voxels", 8)
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, text: str, *values: object) -> None:
        """Tell what only a search for the cause of something asks for."""
        self.log(DEBUG, text, *values)

    def info(self, text: str, *values: object) -> None:
        """Tell what a person may want to know."""
        self.log(INFO, text, *values)

    def warning(self, text: str, *values: object) -> None:
        """Tell what a person should know."""
        self.log(WARNING, text, *values)

    def error(self, text: str, *values: object) -> None:
        """Tell what went wrong."""
        self.log(ERROR, text, *values)

    def log(self, level: int, text: str, *values: object) -> None:
        """Tell a line of a level."""
        if level >= _hearer.least:
            self.logger().log(level, text, *values)

    def logger(self) -> logging.Logger:
        """Return the logger itself, with those who hear it."""
        import logging

        _hearer.begin()
        return logging.getLogger(self.name)


class _Hearer:
    """Who hears the lines from level ``least`` on: ``start`` sets that up and returns what takes it down again."""

    def __init__(self, least: int = 0, start: Callable[[], Callable[[], None]] | None = None) -> None:
        self.least, self._start = least, start
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """Set it up, unless that was done."""
        if self._start is not None:
            start, self._start = self._start, None
            self._end = start()

    def end(self) -> None:
        """Take it down again, if it was set up."""
        if self._end is not None:
            self._end()


_hearer = _Hearer()


@contextmanager
def heard(least: int, start: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """Have lines from level ``least`` on heard by what ``start`` sets up before the first of them is told.

    ``start`` returns what takes it down again, which is done in the end. All threads tell to the same hearer.

    >>> with heard(WARNING, lambda: lambda: print("ended")):
    ...     Log("conv3d").info("not heard")
    ...     logger = Log("conv3d").logger()
    ended
    """
    global _hearer
    before, _hearer = _hearer, _Hearer(least, start)
    try:
        yield
    finally:
        own, _hearer = _hearer, before
        own.end()
