"""Signals that end a run: the first becomes an exception, and nothing disturbs the cleaning up after it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name)]
PATIENCE = 3.0


class Stopped(BaseException):
    """A signal asked the run to end; it unwinds like any exception, so that temporary files go."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stopping(last: bool = False) -> Iterator[None]:
    """Turn the signals that end a run into exceptions while it lasts; with ``last`` they are ignored thereafter.

    One that comes while an earlier one unwinds is not heeded, unless PATIENCE seconds have passed since that: then the
    process ends at once. What the caller has told to be ignored, as nohup does, stays ignored.
    """
    first: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not _unwinding():
            first[:] = [monotonic()]
            raise Stopped(number)
        if monotonic() - first[0] > PATIENCE:
            os._exit(128 + number)

    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if last else handler)


def _unwinding() -> bool:
    """Return whether the code that the signal has interrupted is handling an earlier one.

    An exception raised by a handler can get lost in code that lets none out, such as a weak reference's callback: it
    counts only while it is at work.
    """
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None
