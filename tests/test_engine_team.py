"""Threads of compiled code that join the calling one in what is over soon: summoned, late, forked, placed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import compiled

from conv3d_cli.engine import Limits, Problem, choose, convolve_array, execute, isa, threads
from conv3d_cli.engine.threads import BRIEF, INLINE_SECONDS, carry_out, summon

pytestmark = compiled

PIECES = 64
TASKS = Path("/proc/self/task")


def look(size: int = PIECES << 19):
    """Return a job of many pieces, which finds the largest of the values 0 to 1, and what it is to find."""
    values = np.linspace(0, 1, size, dtype="f4")
    values[size // 2] = -7
    return isa.native().Largest(isa.active(), values), 7.0


def numbers() -> set[int]:
    """Return the system's numbers of this process's threads."""
    return {int(task.name) for task in TASKS.iterdir()}


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_job_is_done_whole_however_many_join(count):
    for _ in range(20):
        job, want = look(1 << 21)
        job.together(count)
        assert (job.found, job.done) == (want, job.total)


def test_there_are_no_more_threads_than_pieces():
    job, want = look(100)
    job.together(1 << 40)
    assert job.found == want


@pytest.mark.skipif(not TASKS.exists(), reason="the system does not list threads")
def test_threads_wait_for_the_next_job_instead_of_being_started_anew():
    look()[0].together(3)
    before = numbers()
    for _ in range(50):
        look(1 << 20)[0].together(3)
    assert numbers() == before


def test_many_may_ask_at_once():
    wrong = []

    def ask():
        for count in (1, 2, 5) * 20:
            summon(count, seconds=INLINE_SECONDS)
            job, want = look(1 << 20)
            job.together(count)
            if job.found != want:
                wrong.append(job.found)

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_a_summons_that_no_work_follows_ends_by_itself():
    look()[0].together(3)
    summon(3, seconds=INLINE_SECONDS)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    job, want = look()
    job.together(3)
    assert job.found == want


@pytest.mark.parametrize(
    ("seconds", "tick", "way"),
    [
        (INLINE_SECONDS / 2, None, "work"),
        (INLINE_SECONDS, None, "together"),
        (BRIEF, None, "share"),
        (INLINE_SECONDS, lambda share: None, "share"),
    ],
)
def test_the_calling_thread_takes_part_in_what_is_over_soon_unless_somebody_listens(seconds, tick, way, monkeypatch):
    class Job:
        done = total = 2

        def work(self):
            ways.append("work")

        def together(self, count):
            ways.append("together")

        def cancel(self):
            pass

    ways = []
    monkeypatch.setattr(threads, "share", lambda *a, **more: ways.append("share"))
    carry_out(Job(), 2, seconds=seconds, tick=tick)
    assert ways == [way]


def test_only_what_is_shared_with_the_calling_thread_summons(monkeypatch):
    class Module:
        summon = staticmethod(lambda count: asked.append(count))

    asked = []
    monkeypatch.setattr(isa, "native", lambda: Module)
    for count, seconds in ((1, 1e-3), (2, INLINE_SECONDS / 2), (3, 1e-3), (4, BRIEF)):
        summon(count, seconds)
    assert asked == [3]


def test_an_error_in_any_thread_is_raised_and_ends_all():
    """Threads that find no memory, those that join and the calling one, and the job that comes afterwards."""
    code = """
        import resource
        import numpy as np
        from conv3d_cli.engine import isa
        module = isa.native()
        x = np.ones((4, 1 << 16, 1, 1, 16), "f4")
        out = np.zeros((4, 9, 1, 1, 16), "f4")
        kernel = np.ones((1 << 16, 9), "f4")
        def job():
            cut = {"groups": 1, "block": 1 << 10, "planar": True, "stream": False, "threads": 2}
            return module.Pointwise(isa.active(), x, kernel, None, out, **cut)
        one = job()
        one.together(2)
        want = out.copy()
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        two = job()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        try:
            two.together(2)
        except MemoryError:
            pass
        else:
            raise SystemExit(2)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        out[...] = 0
        job().together(2)
        raise SystemExit(0 if (out == want).all() else 3)
    """
    assert ran(code) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_threads_of_its_own():
    code = """
        import os, signal, sys
        import numpy as np
        from conv3d_cli.engine import isa
        def found():
            job = isa.native().Largest(isa.active(), np.arange(1 << 21, dtype="f4"))
            job.together(3)
            return int(job.found)
        found()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            isa.native().summon(3)
            good = found() == (1 << 21) - 1
            os._exit(0 if good and len(os.listdir("/proc/self/task")) >= 3 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or found() != (1 << 21) - 1)
    """
    assert ran(code) == 0


def ran(code: str) -> int:
    """Return what a process of its own exits with that runs some code."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    return subprocess.run(command, timeout=60, check=False).returncode


@pytest.mark.skipif(not TASKS.exists() or not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed")
def test_threads_wait_on_the_processors_that_the_calling_one_leaves_them():
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("only one processor")
    code = """
        import os
        import numpy as np
        from conv3d_cli.engine import isa
        def places():
            isa.native().Largest(isa.active(), np.ones(1 << 21, "f4")).together(2)
            return [os.sched_getaffinity(int(n)) for n in os.listdir("/proc/self/task") if int(n) not in known]
        allowed, known = os.sched_getaffinity(0), {int(n) for n in os.listdir("/proc/self/task")}
        for here in (min(allowed), max(allowed)):
            os.sched_setaffinity(0, {here})
            assert {here} in places()
            os.sched_setaffinity(0, allowed)
            assert any(len(where) == len(allowed) - 1 and where < allowed for where in places())
    """
    assert ran(code) == 0


def test_calls_of_all_lengths_give_the_same_bits():
    for size in (16, 40, 64):
        problem = Problem((size,) * 3, (3, 3, 3), padding=((1, 1),) * 3)
        x = np.random.default_rng(0).standard_normal(problem.input_shape).astype("f4")
        kernel = np.ones(problem.kernel_shape, "f4")
        want = execute(choose(problem, Limits(1, 1 << 32), "direct"), x, kernel, None)
        more = {"channels_last": False, "method": "direct"}
        for count in (2, 3, 8):
            got = convolve_array(problem, x, kernel, None, limits=Limits(count, 1 << 32), **more)
            np.testing.assert_array_equal(got, want)
