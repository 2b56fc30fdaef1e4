"""What a worker process of ``conv3d batch`` runs: ``apply`` for each item, told to the batch instead of a person."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from conv3d_cli.batch.perform import Talk
from conv3d_cli.batch.serve import serve
from conv3d_cli.cli.apply import Watch, applied
from conv3d_cli.cli.main import verdict
from conv3d_cli.cli.stopping import Stopped, stopping
from conv3d_cli.cli.talk import log

if TYPE_CHECKING:
    from conv3d_cli.pipeline import RunPlan


class _Told(Watch):
    """Passes the plan and the progress on."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk

    def planned(self, plan: RunPlan) -> None:
        """Tell what the plan needs, and wait until there is room."""
        self.talk.planned(plan.peak_bytes, plan.seconds)

    @contextmanager
    def progress(self, seconds: float, quiet: bool) -> Iterator[Callable[[float], None] | None]:
        """Give what tells the share that is done."""
        yield self.talk.tick


class _Notes(logging.Handler):
    """Passes what is logged on."""

    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self.talk = talk

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on."""
        self.talk.note(record.levelno, record.getMessage())


def work(words: dict[str, Any], command: tuple[str, ...], talk: Talk) -> dict[str, Any]:
    """Do what ``conv3d apply`` does with these words, and return its report, which has this command."""
    sys.argv[:] = ["conv3d", *command]
    handler = _Notes(talk)
    handler.setLevel(logging.DEBUG if words["verbose"] > 1 else logging.INFO)
    logger = log.logger()
    logger.addHandler(handler)
    try:
        return applied(words, _Told(talk))
    finally:
        logger.removeHandler(handler)


def main(descriptor: int) -> None:
    """Work until the batch has no more, or stops this process."""
    # A key pressed in the terminal reaches every process there; it is the batch that decides, and says so by SIGTERM.
    for name in ("SIGINT", "SIGHUP"):
        with suppress(AttributeError):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    logger = log.logger()
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    number = 0
    try:
        with stopping(last=True), suppress(BrokenPipeError):
            serve(descriptor, work, verdict)
    except Stopped as stopped:
        number = 128 + stopped.number
    os._exit(number)  # a thread still listens
