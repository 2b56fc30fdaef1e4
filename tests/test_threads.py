"""Threads end before the call that started them does, also where a signal ends it."""

from __future__ import annotations

import signal
import time

import pytest

from conv3d_cli.engine.threads import share

if not hasattr(signal, "setitimer"):
    pytest.skip("no timers on this system", allow_module_level=True)


class RungError(Exception):
    """What the handler of the alarm raises."""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_waits_for_what_the_threads_are_in(threads):
    ended = []

    def ring(number, frame):
        raise RungError

    def work():
        time.sleep(0.6)
        ended.append(None)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(RungError):
            share(work, threads, stop=lambda: None)
        assert len(ended) == threads
    finally:
        signal.signal(signal.SIGALRM, before)
