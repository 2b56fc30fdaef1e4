"""Signals that end a run, and those that come after the first."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from conv3d_cli.cli import stopping as module
from conv3d_cli.cli.stopping import SIGNALS, Stopped, stopping


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_becomes_an_exception(number):
    with stopping(), pytest.raises(Stopped, match=f"stopped by {signal.Signals(number).name}") as caught:
        signal.raise_signal(number)
    assert caught.value.number == number


def stopped_and_cleaned(clean) -> None:
    """Be stopped, and clean up with an error of its own on the way."""
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        try:
            raise OSError("while cleaning up")
        except OSError:
            clean()


def test_another_one_does_not_disturb_what_cleans_up():
    done = []
    with stopping(), pytest.raises(Stopped):
        stopped_and_cleaned(lambda: signal.raise_signal(signal.SIGINT) or done.append("cleaned"))
    assert done == ["cleaned"]


def test_who_has_waited_long_is_not_kept(monkeypatch):
    left = []
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    monkeypatch.setattr(os, "_exit", left.append)
    with stopping(), pytest.raises(Stopped):
        stopped_and_cleaned(lambda: signal.raise_signal(signal.SIGTERM))
    assert left == [128 + signal.SIGTERM]


def test_one_that_was_lost_in_a_callback_leaves_the_next_heard(monkeypatch):
    class Last:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    lost = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    with stopping():
        Last()
        assert len(lost) == 1
        lost.clear()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)


def test_handlers_come_back_and_after_the_last_run_nothing_is_heard():
    before = signal.getsignal(signal.SIGTERM)
    with stopping():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    with stopping(last=True):
        pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
