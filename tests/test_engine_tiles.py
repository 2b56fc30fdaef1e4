"""How tiles of a transform are shared by threads, what they take, and which of them are computed at all."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from conv3d_cli.engine import Limits, Problem, choose, costs, execute, fft, threads
from conv3d_cli.engine.kept import Kept

DEPTHWISE = Problem((24, 24, 24), (9, 9, 9), padding=((4, 4),) * 3, channels=6, filters=6, groups=6)


def arrays(problem: Problem):
    rng = np.random.default_rng(3)
    return rng.standard_normal(problem.input_shape, "f4"), rng.standard_normal(problem.kernel_shape, "f4")


def test_groups_of_one_tile_are_computed_side_by_side(monkeypatch):
    asked = []
    monkeypatch.setattr(
        fft, "share", lambda work, count, **more: asked.append(count) or threads.share(work, count, **more)
    )
    (x, kernel), heard = arrays(DEPTHWISE), []
    one, three = (np.empty(DEPTHWISE.output_shape, "f4") for _ in range(2))
    more = {"tile": (32, 32, 32), "transform": "float64"}
    fft.run(DEPTHWISE, x, kernel, None, three, **more, threads=3, tick=heard.append)
    assert asked == [3]
    assert heard[-1] == 1
    fft.run(DEPTHWISE, x, kernel, None, one, **more, threads=1)
    np.testing.assert_array_equal(one, three)


def test_a_prediction_counts_on_the_threads_that_there_will_be(monkeypatch):
    monkeypatch.setattr(costs, "THREADS_START", 0.0)
    monkeypatch.setattr(fft, "KERNELS", Kept(0))
    few = Problem((24, 24, 24), (9, 9, 9), channels=2, filters=2, groups=2)
    for problem, length in ((DEPTHWISE, 32), (few, 24)):
        one, two = (fft._candidate(problem, (length,) * 3, "float64", count) for count in (1, 2))
        assert one.seconds == pytest.approx(costs.speedup(2) * two.seconds)
        assert two.scratch_bytes == 2 * one.scratch_bytes
    four = fft._candidate(few, (24, 24, 24), "float64", 4)
    assert four.scratch_bytes == fft._candidate(few, (24, 24, 24), "float64", 1).scratch_bytes


@pytest.mark.parametrize("count", [1, 3])
def test_groups_side_by_side_take_the_memory_that_is_planned(count):
    problem = Problem((40, 40, 40), (9, 9, 9), channels=6, filters=6, groups=6)
    plan = choose(problem, Limits(count, 1 << 33), "fft", "strict")
    x, kernel = arrays(problem)
    out = np.empty(problem.output_shape, "f4")
    tracemalloc.start()
    execute(plan, x, kernel, None, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.3 * plan.scratch_bytes < peak < plan.scratch_bytes + (1 << 20)


def test_a_tile_of_which_no_output_is_kept_is_not_transformed(monkeypatch):
    from scipy import fft as transforms

    made = []
    kept = transforms.rfftn
    monkeypatch.setattr(transforms, "rfftn", lambda *given, **more: made.append(None) or kept(*given, **more))
    problem = Problem((64, 64, 64), (3, 3, 3), strides=(32, 32, 32))
    (x, kernel), out = arrays(problem), np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(18, 18, 18), transform="float32", threads=1)
    assert len(made) == 1 + out.size


def test_counting_what_is_not_finite_takes_no_copy():
    x = np.zeros((1, 2, 64, 64, 64), "f4")
    x[0, 1, 2, 3, 4], x[0, 1, 5, 0, 0] = np.nan, np.inf
    tracemalloc.start()
    told = fft.unsuitable(DEPTHWISE, x, np.ones((1, 1, 1, 1, 1), "f4"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told == "2 non-finite values in the input, the first at index (0, 1, 2, 3, 4)"
    assert peak < x.nbytes / 16
