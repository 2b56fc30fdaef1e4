"""Who hears what a run tells: standard error, and the log file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress


class _Line(logging.Formatter):
    """``Warning: text`` for a person; information stands for itself."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: {text}"


class _Console(logging.Handler):
    """Writes to what is the standard error at the time: while bars are shown, they put something else in its place."""

    def __init__(self, least: int) -> None:
        super().__init__(least)
        self.setFormatter(_Line())
        # An error's line is printed where the command ends.
        self.addFilter(lambda record: record.levelno < logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


class LogFile(logging.FileHandler):
    """A log file that remembers why it could not be written, rather than print a traceback in the midst of a run."""

    def __init__(self, name: str) -> None:
        super().__init__(name, encoding="utf-8")
        self.name_given = name
        self.failure: str | None = None
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Keep the first failure."""
        error = sys.exc_info()[1]
        self.failure = self.failure or getattr(error, "strerror", None) or str(error)

    def close(self) -> None:
        """Close the file; each line was flushed before, so what is left could not be written."""
        with suppress(OSError):
            super().close()


def listen(least: int, file: LogFile | None) -> Callable[[], None]:
    """Have standard error hear lines from a level on, and the file all of them; return what ends that."""
    logger = logging.getLogger("conv3d")
    handlers: list[logging.Handler] = [_Console(least)] if file is None else [_Console(least), file]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)

    def end() -> None:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()

    return end
