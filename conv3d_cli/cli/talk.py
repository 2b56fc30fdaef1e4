"""What a run tells on standard error and in the log file, and its progress."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from conv3d_cli.errors import OutputError, quoted

LONG_SECONDS = 1.0
PERCENT_LINE_SECONDS = 30.0

log = logging.getLogger("conv3d")


class _Line(logging.Formatter):
    """``Warning: text`` for a person; information stands for itself."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text if record.levelno < logging.WARNING else f"{record.levelname.capitalize()}: {text}"


@contextmanager
def talking(quiet: bool, verbose: int, log_file: str | None) -> Iterator[logging.Logger]:
    """Send what is told to standard error as loud as asked, and all of it to the log file."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(_Line())
    handlers[0].setLevel(logging.ERROR if quiet else [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
    if log_file is not None:
        try:
            handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
        except OSError as error:
            raise OutputError(f"{quoted(log_file)}: cannot be opened: {error.strerror}") from None
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in handlers:
        log.addHandler(handler)
    try:
        yield log
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


@contextmanager
def progress(what: str, seconds: float, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show how far long work has come: a bar on a terminal, otherwise a rare line; short work shows nothing."""
    if quiet or seconds < LONG_SECONDS:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=1.0)
            yield lambda fraction: bar.update(task, completed=fraction)
    else:
        told = [monotonic()]

        def line(fraction: float) -> None:
            if monotonic() - told[0] >= PERCENT_LINE_SECONDS:
                told[0] = monotonic()
                print(f"{what}: {fraction:.0%}", file=sys.stderr, flush=True)

        yield line
