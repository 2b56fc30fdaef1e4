"""Threads are done before the call that gave them work ends, also where a signal ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
from support import compiled

from conv3d_cli.engine import isa, processors, threads
from conv3d_cli.engine.threads import Worker, share

if not hasattr(signal, "setitimer"):
    pytest.skip("no timers on this system", allow_module_level=True)


class RungError(Exception):
    """What the handler of the alarm raises."""


@pytest.mark.parametrize("count", [1, 2])
def test_a_signal_waits_for_what_the_threads_are_in(count):
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
            share(work, count, stop=lambda: None)
        assert len(ended) == count
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_threads_wait_for_the_next_work_instead_of_being_started_anew():
    used = []
    for _ in range(20):
        gate = threading.Barrier(2)  # both threads at once, so that one cannot do the work of two
        share(lambda gate=gate: (gate.wait(), used.append(threading.get_ident())), 2, stop=lambda: None)
        while len(Worker.idle) < 2:
            time.sleep(1e-3)
    assert len(used) == 40
    assert len(set(used)) <= 1 + len(Worker.idle)


def test_a_thread_that_waits_holds_nothing_of_what_it_did():
    held = np.zeros(3)
    watch = weakref.ref(held)
    share(lambda held=held: held.sum(), 2, stop=lambda: None)
    del held
    for _ in range(100):
        if watch() is None:
            break
        time.sleep(1e-2)
    assert watch() is None


def test_an_error_does_not_end_the_thread_that_it_came_up_in():
    def fail():
        raise ValueError("spoiled")

    for _ in range(3):
        with pytest.raises(ValueError, match="spoiled"):
            share(fail, 2, stop=lambda: None)
    done = []
    share(lambda: done.append(None), 2, stop=lambda: None)
    assert len(done) == 2


@pytest.mark.parametrize("more", [{}, {"tick": lambda: None}])
def test_the_calling_thread_only_waits(more):
    used = workers(**more)
    assert threading.get_ident() not in used
    assert len(used) == 3


def workers(**more):
    """Return the threads that did the work of three."""
    used, gate = set(), threading.Barrier(3)
    share(lambda: (used.add(threading.get_ident()), gate.wait(10)), 3, stop=lambda: None, **more)
    return used


def forked(parent, child):
    """Return what a process exits with that is forked after ``parent`` has run, and then does what ``child`` says."""
    lines = [f"    {line}" for line in textwrap.dedent(child).strip().splitlines()]
    last = "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    code = "\n".join(["import os, sys", textwrap.dedent(parent), "pid = os.fork()", "if pid == 0:", *lines, last])
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False).returncode


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    parent = """
        from conv3d_cli.engine.threads import share
        share(lambda: None, 2, stop=lambda: None)
    """
    child = """
        done = []
        share(lambda: done.append(None), 2, stop=lambda: None)
        os._exit(len(done))
    """
    assert forked(parent, child) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_waits_for_no_thread_of_its_parents():
    """One that was looking at what is kept when the process was forked: the child has its lock, but not the thread."""
    parent = """
        import signal, threading
        import numpy as np
        from conv3d_cli.engine import Limits, Problem, choose, execute, kept, recycled
        held, over = threading.Event(), threading.Event()
        os.register_at_fork(after_in_parent=over.set)
        def hold():
            with kept.KERNELS._lock, recycled.OUTPUTS._lock:
                held.set()
                over.wait()
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
    """
    child = """
        signal.alarm(20)
        problem = Problem((64, 64, 64), (3, 3, 3))
        plan = choose(problem, Limits(1, 1 << 30))
        x, kernel = (np.ones(shape, "f4") for shape in (problem.input_shape, problem.kernel_shape))
        kept.KERNELS.get("key", kernel, lambda: None, size=lambda made: 0)
        os._exit(int(execute(plan, x, kernel, None).max()))
    """
    assert forked(parent, child) == 27


@pytest.mark.skipif(isa.native() is None or not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed")
def test_a_thread_is_woken_on_another_processor_but_for_one_that_takes_the_callers_place(monkeypatch):
    workers()
    asked = []
    monkeypatch.setattr(threads, "confine", lambda number, *, here: asked.append((number, here)) or processors.NOWHERE)
    workers()
    assert [here for _, here in asked] == [False, False, True]
    assert len({number for number, _ in asked}) == 3


@pytest.mark.skipif(isa.native() is None or not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed")
def test_a_thread_is_confined_only_until_it_runs(monkeypatch):
    allowed, set_to = os.sched_getaffinity(0), []
    set_affinity = os.sched_setaffinity
    monkeypatch.setattr(os, "sched_setaffinity", lambda *to: set_to.append(to) or set_affinity(*to))
    for _ in range(2):
        seen = []
        share(lambda seen=seen: seen.append(os.sched_getaffinity(0)), 2, stop=lambda: None)
        assert seen == [allowed, allowed]
    narrow = [set(to) for thread, to in set_to if thread]
    assert all(len(to) in (1, len(allowed) - 1) and to < allowed for to in narrow)
    assert len(narrow) >= 2 or len(allowed) == 1


@compiled
def test_one_processor_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {isa.native().processor()}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda *to: pytest.fail("it was confined"), raising=False)
    assert processors.confine(threading.get_native_id(), here=True) == frozenset()


def test_a_system_that_forbids_to_place_threads_is_left_alone(monkeypatch):
    def forbid(*to):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", forbid, raising=False)
    assert processors.confine(threading.get_native_id(), here=False) == frozenset()
    processors.free(frozenset({0, 1}))
