"""Threads of every method: the same bits for any number of them and any blocks, calls side by side, and their end."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from fuzz_ways import ROOM, offered, turned
from ways import USABLE

from conv3d_cli.engine import METHODS, Limits, Problem, execute, isa
from conv3d_cli.engine import threads as threading_of_the_engine

PADS = ((1, 1),) * 3
PROBLEMS = (
    Problem((17, 18, 19), (3, 3, 3), padding=PADS, channels=4, filters=5),
    Problem((17, 18, 19), (3, 3, 3), padding=PADS, channels=5, filters=4, dtype="float64"),
    Problem((20, 21, 22), (5, 4, 3), batch=2, channels=8, filters=4, groups=2),
    Problem((20, 21, 22), (3, 3, 3), (2, 2, 2), padding=PADS, channels=4, filters=4),
    Problem((20, 21, 22), (3, 3, 3), (2, 1, 1), dilation=(1, 2, 2), channels=2, filters=2),
    Problem((30, 31, 32), (9, 7, 5), dilation=(1, 2, 1)),
    Problem((20, 21, 22), (1, 1, 1), channels=9, filters=13, batch=2),
)
METHODS_HERE = tuple(METHODS) if isa.native() is not None else USABLE


def arrays(problem: Problem):
    """Return an input, a box for a kernel, which every method takes, and a bias."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.input_shape).astype(problem.dtype)
    bias = rng.standard_normal(problem.filters).astype(problem.dtype)
    return x, np.full(problem.kernel_shape, 0.3, problem.dtype), bias


def ways(method: str):
    """Return what a method offers for any of the problems."""
    found = []
    for problem in PROBLEMS:
        kernel = arrays(problem)[1]
        found += offered(problem, kernel, method, 1, np.random.default_rng(0))
    assert found
    return found


def result(plan, count: int):
    return execute(replace(plan, limits=Limits(count, ROOM)), *arrays(plan.problem))


@pytest.mark.parametrize("method", METHODS_HERE)
def test_the_bits_depend_neither_on_the_threads_nor_on_the_blocks(method):
    """Costs that are other than they are make other blocks the best ones."""
    cut = ("INLINE_SECONDS", "INLINE_WEIGHTS", "BLOCK_BYTES", "MOST_VOXELS", "LEAST_VOXELS", "STREAM_BYTES")
    for plan in ways(method):
        want = result(plan, 1)
        for seed, count in enumerate((1, 2, 7)):
            with turned(np.random.default_rng(seed), cut):
                got = result(plan, count)
            np.testing.assert_array_equal(got, want, err_msg=f"{plan.problem} {plan.candidate.detail}, {count} threads")


@pytest.mark.parametrize("method", METHODS_HERE)
def test_calls_side_by_side_do_not_disturb_one_another(method):
    for plan in ways(method)[:6]:
        want, gate, others = result(plan, 1), threading.Barrier(3), []

        def call(plan=plan, gate=gate, others=others):
            gate.wait(10)
            others.append(result(plan, 4))

        with turned(np.random.default_rng(1), ("INLINE_SECONDS",), costs=False):
            callers = [threading.Thread(target=call) for _ in range(3)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        assert len(others) == 3
        for got in others:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("method", METHODS_HERE)
def test_what_is_stopped_in_the_middle_writes_nothing_afterwards(method, monkeypatch):
    monkeypatch.setattr(threading_of_the_engine, "POLL_SECONDS", 1e-4)

    def stop(share):
        raise KeyboardInterrupt

    for plan in ways(method)[:6]:
        want = result(plan, 1)
        out = np.full(plan.problem.output_shape, np.nan, plan.problem.dtype)
        with turned(np.random.default_rng(2), ("INLINE_SECONDS",), costs=False), pytest.raises(KeyboardInterrupt):
            execute(replace(plan, limits=Limits(4, ROOM)), *arrays(plan.problem), out, tick=stop)
        left = out.copy()
        time.sleep(5e-3)
        np.testing.assert_array_equal(out, left)
        np.testing.assert_array_equal(result(plan, 4), want)
