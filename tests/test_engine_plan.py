"""What the planner chooses, says and refuses."""

from __future__ import annotations

import numpy as np
import pytest

from conv3d_cli.engine import METHODS, Limits, Problem, choose, execute, isa
from conv3d_cli.errors import MethodError, OverLimit, UsageError

ROOM = Limits(threads=2, memory=1 << 33)

needs_kernels = pytest.mark.skipif(isa.native() is None, reason="no compiled kernels in this install")


def cube(n: int, k: int, **more) -> Problem:
    return Problem(size=(n,) * 3, kernel=(k,) * 3, padding=((k // 2, k // 2),) * 3, **more)


@needs_kernels
def test_small_kernels_go_direct_and_large_ones_through_the_fft():
    assert choose(cube(128, 3), ROOM).method == "direct"
    assert choose(cube(64, 3, channels=16, filters=16), ROOM).method == "direct"
    assert choose(cube(128, 31), ROOM).method == "fft"


def test_without_kernels_the_reference_path_or_the_fft_serves(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    small, large = choose(cube(64, 1), ROOM), choose(cube(64, 15), ROOM)
    assert (small.method, large.method) == ("reference", "fft")
    assert "no compiled kernel: no compiler was found" in [c.refused for c in small.candidates]
    with pytest.raises(MethodError, match="method 'direct': cannot serve this convolution: direct: no compiled kernel"):
        choose(cube(64, 3), ROOM, method="direct")


def test_a_plan_says_why_and_what_the_others_cost():
    plan = choose(cube(128, 31), ROOM)
    assert "predicted" in plan.why
    assert "as fast as" in plan.why
    assert {c.method for c in plan.candidates} == set(METHODS)
    assert plan.seconds == min(c.seconds for c in plan.candidates if c.refused is None)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_can_be_forced(method):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    plan = choose(cube(32, 5), ROOM, method=method)
    assert plan.method == method
    assert plan.why.startswith(f"{method} was asked for")


def test_unknown_names():
    with pytest.raises(
        UsageError,
        match="method: unknown: got 'fftt', expected one of direct, fft, reference; did you mean 'fft'",
    ):
        choose(cube(8, 3), ROOM, method="fftt")
    with pytest.raises(UsageError, match="accuracy: unknown: got 'sloppy', expected one of strict, default, fast"):
        choose(cube(8, 3), ROOM, accuracy="sloppy")


def test_memory_bounds_the_choice():
    problem = cube(96, 31)
    roomy = choose(problem, ROOM, method="fft")
    tight = Limits(2, problem.input_bytes + problem.output_bytes + roomy.scratch_bytes - 1)
    lean = choose(problem, tight, method="fft")
    assert lean.scratch_bytes < roomy.scratch_bytes
    assert any("needs" in (c.refused or "") for c in lean.candidates)


def test_too_little_memory_says_how_much_would_do():
    problem = cube(64, 3)
    with pytest.raises(
        OverLimit,
        match=r"memory: not enough .*: got 1 MiB \(--max-memory\), expected at least [2-9]\.\d+ MiB",
    ):
        choose(problem, Limits.detect(2, "1M"))


def test_strict_accuracy_keeps_transforms_in_float64():
    assert choose(cube(64, 15), ROOM, "fft", "strict").candidate.transform == "float64"
    assert choose(cube(128, 15), ROOM, "fft", "default").candidate.transform == "float32"


def test_a_whole_volume_is_transformed_in_float64():
    wholes = [c for c in choose(cube(32, 15), ROOM, "fft").candidates if c.detail.startswith("whole volume")]
    assert wholes
    assert all(c.transform == "float64" for c in wholes)


@pytest.mark.parametrize("method", ["fft", "reference"])
def test_predicted_scratch_bounds_what_is_allocated(method):
    import tracemalloc

    problem = cube(64, 9, channels=3, filters=2)
    plan = choose(problem, Limits(2, 1 << 33), method)
    x, kernel = np.zeros(problem.input_shape, "f4"), np.zeros(problem.kernel_shape, "f4")
    out = np.empty(problem.output_shape, "f4")
    execute(plan, x, kernel, None, out)
    tracemalloc.start()
    execute(plan, x, kernel, None, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.2 * plan.scratch_bytes < peak < 1.25 * plan.scratch_bytes + (1 << 20)
