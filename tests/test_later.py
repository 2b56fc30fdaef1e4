"""What a thread finds while its caller does something else."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest

from conv3d_cli.later import Later


def test_the_caller_goes_on_meanwhile():
    asked = threading.Event()
    later = Later(lambda: asked.wait(10))
    asked.set()
    assert later.result() is True
    assert later.result() is True


def test_an_error_waits_for_who_asks():
    def fails():
        raise KeyError("gone")

    later = Later(fails)
    later.wait()
    for ask in (later.result, later.take):
        with pytest.raises(KeyError, match="gone"):
            ask()


def test_what_is_taken_is_held_no_longer():
    later = Later(lambda: np.ones(8))
    array = later.take()
    held = weakref.ref(array)
    del array
    assert held() is None


def test_what_the_function_held_goes_with_it():
    array = np.ones(8)
    held = weakref.ref(array)
    later = Later(lambda array=array: array.sum())
    del array
    assert later.result() == 8
    assert held() is None
