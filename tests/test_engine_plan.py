"""What the planner chooses, says and refuses."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from support import compiled
from ways import EVERYWHERE

from conv3d_cli.engine import ACCURACIES, METHODS, Candidate, Limits, Problem, choose, costs, execute, fft, isa, settle
from conv3d_cli.engine.candidate import Accuracy
from conv3d_cli.engine.methods import Method
from conv3d_cli.engine.reference import BLOCK_BYTES
from conv3d_cli.engine.tiles import fast_length
from conv3d_cli.errors import MethodError, OverLimit, UsageError
from conv3d_cli.layers import convolve
from conv3d_cli.limits import parse_bytes, size_words

ROOM = Limits(threads=2, memory=1 << 33)


def cube(n: int, k: int, **more) -> Problem:
    return Problem(size=(n,) * 3, kernel=(k,) * 3, padding=((k // 2, k // 2),) * 3, **more)


@compiled
def test_small_kernels_go_direct_many_channels_through_tiles_and_large_kernels_through_the_fft():
    assert choose(cube(128, 3), ROOM).method == "direct"
    assert choose(cube(64, 3, channels=2, filters=2), ROOM, accuracy="strict").method == "direct"
    assert choose(cube(64, 3, channels=32, filters=32), ROOM).method == "winograd"
    assert choose(cube(64, 7, channels=16, filters=16), ROOM).method == "fft"
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


@pytest.mark.parametrize("method", EVERYWHERE)
def test_a_method_can_be_forced(method):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    plan = choose(cube(32, 5), ROOM, method=method)
    assert plan.method == method
    assert plan.why.startswith(f"{method} was asked for")


def test_unknown_names():
    with pytest.raises(
        UsageError,
        match=f"method: unknown: got 'fftt', expected one of auto, {', '.join(METHODS)}; did you mean 'fft'",
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
    plan = choose(problem, Limits(2, 1 << 33), method, "strict")  # what compiled tiles take is not traced
    x, kernel = np.zeros(problem.input_shape, "f4"), np.zeros(problem.kernel_shape, "f4")
    out = np.empty(problem.output_shape, "f4")
    execute(plan, x, kernel, None, out)
    tracemalloc.start()
    execute(plan, x, kernel, None, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.2 * plan.scratch_bytes < peak < 1.25 * plan.scratch_bytes + (1 << 20)


def with_a_method(monkeypatch, *candidates: Candidate) -> None:
    """Put a method into the table that offers candidates and does nothing."""
    name = candidates[0].method
    row = Method(name, "offered by a test", lambda *given: list(candidates), lambda *given: None)
    monkeypatch.setitem(METHODS, name, row)


def test_what_is_less_accurate_than_asked_is_left_alone(monkeypatch):
    with_a_method(monkeypatch, Candidate("quick", error=5e-5, local=False))
    assert choose(cube(32, 3), ROOM, accuracy="fast").method == "quick"
    plan = choose(cube(32, 3), ROOM)
    assert plan.method != "quick"
    assert [c.refused for c in plan.candidates if c.method == "quick"] == ["less accurate than asked"]


def test_strict_accuracy_is_a_matter_of_each_voxel():
    local, spread = Candidate("a", error=1e-7), Candidate("a", error=1e-7, local=False)
    assert [local.keeps(a) for a in ACCURACIES.values()] == [True, True, True]
    assert [spread.keeps(a) for a in ACCURACIES.values()] == [False, True, True]
    assert [Candidate("a", error=3e-6).keeps(a) for a in ACCURACIES.values()] == [False, True, True]
    assert [Candidate("a", error=2e-5).keeps(a) for a in ACCURACIES.values()] == [False, False, True]
    assert not Candidate("a", error=2e-4).keeps(ACCURACIES["fast"])


def test_the_transforms_offered_are_as_accurate_as_asked():
    offered = fft.candidates(cube(128, 15), 2, ACCURACIES["default"], 1 << 40)
    assert {c.transform for c in offered} == {"float32", "float64"}
    for accuracy in (ACCURACIES["strict"], Accuracy(5e-7, False, "between the errors of the two transforms")):
        assert {c.transform for c in fft.candidates(cube(128, 15), 2, accuracy, 1 << 40)} == {"float64"}
    doubles = cube(128, 15, dtype="float64")
    assert {c.transform for c in fft.candidates(doubles, 2, ACCURACIES["fast"], 1 << 40)} == {"float64"}


def test_a_plan_keeps_what_was_asked():
    problem = cube(64, 15, order=(2, 0, 1))
    plan = choose(problem, ROOM, "fft", "strict")
    assert (plan.asked, plan.limits, plan.method_asked, plan.accuracy) == (problem, ROOM, "fft", "strict")
    assert plan.threads == 2
    assert plan.problem.order == (0, 1, 2)
    assert (plan.seconds, plan.scratch_bytes) == (plan.candidate.seconds, plan.candidate.scratch_bytes)


def test_another_way_keeps_limits_and_accuracy():
    problem = cube(48, 21)
    x, kernel = np.ones(problem.input_shape, "f4"), np.random.default_rng(0).random(problem.kernel_shape, "f4")
    x[0, 0, 0, 0, 0] = np.nan
    plan = choose(problem, Limits(3, 1 << 33), accuracy="strict")
    assert plan.method == "fft"
    other = settle(plan, x, kernel)
    assert (other.accuracy, other.limits, other.asked) == ("strict", plan.limits, problem)
    refused = {c.method: c.refused for c in other.candidates}
    assert refused["fft"] == "would spread the non-finite or huge values of this data"


@compiled
def test_the_way_not_taken_that_the_why_names_is_another_method():
    plan = choose(cube(128, 31), ROOM)
    open_ways = [c for c in plan.candidates if c.refused is None]
    assert [c.method for c in open_ways].count("fft") == 3
    other = min((c for c in open_ways if c.method != "fft"), key=lambda c: c.seconds)
    ratio = other.seconds / plan.seconds
    assert ratio > 1
    assert plan.why == f"{plan.candidate.detail}: predicted {ratio:.1f}x as fast as {other.method}"


def test_the_only_way_open_says_what_closed_another(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    plan = choose(cube(24, 5), ROOM, without=("fft",))
    assert plan.why == (
        "reference (shifted sums in float64) is the only method open; direct: no compiled kernel: no compiler was found"
    )
    asked = {c.method: c.refused for c in choose(cube(24, 5), ROOM, "reference").candidates}
    assert asked["direct"] == "no compiled kernel: no compiler was found"
    assert asked["fft"] == "another method was asked for"


def test_a_method_that_cannot_serve_speaks_of_itself_alone(monkeypatch):
    with_a_method(monkeypatch, Candidate("quick", refused="too proud"))
    with pytest.raises(MethodError, match=r"^method 'quick': cannot serve this convolution: quick: too proud$"):
        choose(cube(8, 3), ROOM, "quick")


@pytest.mark.parametrize("method", ["auto", *EVERYWHERE])
def test_the_memory_named_as_enough_is_enough_and_hardly_more(method):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    problem = cube(72, 9, channels=2, filters=3, batch=2)
    with pytest.raises(OverLimit) as told:
        choose(problem, Limits(2, 1000, "cgroup limit"), method)
    assert "got 0.98 KiB (cgroup limit)" in str(told.value)
    enough = parse_bytes(str(told.value).rpartition("at least ")[2])
    assert enough - (1 << 20) / 50 < told.value.needed <= enough
    assert choose(problem, Limits(2, told.value.needed), method).method in (method, *METHODS)
    with pytest.raises(OverLimit):
        choose(problem, Limits(2, told.value.needed - 1), method)


@pytest.mark.parametrize("padding", [(2**31 - 1, 0), (2**31 - 1, 2**31 - 1)])
def test_what_no_memory_holds_is_refused_before_methods_reckon_with_it(padding):
    problem = Problem((4, 5, 6), (1, 1, 1), padding=(padding, padding, padding))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OverLimit, match=r"memory: not enough for this convolution: got 8 GiB .*expected at least"):
            choose(problem, ROOM)
        with pytest.raises(OverLimit, match="memory: not enough for this convolution"):
            convolve(np.ones((1, 4, 5, 6, 1), "f4"), np.ones((1, 1, 1, 1, 1)), padding=problem.padding)


def test_memory_may_be_used_to_the_last_byte():
    problem = cube(64, 5)
    needed = choose(problem, ROOM, "reference").scratch_bytes + problem.input_bytes + problem.output_bytes
    assert choose(problem, Limits(2, needed), "reference").method == "reference"
    with pytest.raises(OverLimit):
        choose(problem, Limits(2, needed - 1), "reference")


def test_what_memory_rules_out_says_what_is_left():
    problem = cube(96, 31)
    roomy = choose(problem, ROOM, method="fft")
    left = (roomy.scratch_bytes >> 20) - 1 << 20
    plan = choose(problem, Limits(2, problem.input_bytes + problem.output_bytes + left), method="fft")
    [reason] = [c.refused for c in plan.candidates if c.method == "fft" and c.refused]
    needs = max(c.scratch_bytes for c in plan.candidates if c.method == "fft")
    assert reason == f"needs {size_words(needs)} beside input and output, {left >> 20} MiB are left"


@pytest.mark.parametrize("method", ["auto", "fft"])
def test_an_empty_output_needs_no_method(method):
    problem = Problem(size=(4, 2, 4), kernel=(3, 3, 3), filters=2)
    plan = choose(problem, Limits(1, 10), method)
    assert plan.method == ("reference" if method == "auto" else "fft")
    assert (plan.why, plan.seconds, plan.scratch_bytes) == ("the output is empty", 0, 0)
    x = np.full(problem.input_shape, np.nan, "f4")
    assert execute(plan, x, np.ones(problem.kernel_shape, "f4"), None).shape == (1, 2, 2, 0, 2)


def test_a_sum_over_no_channel_is_the_bias():
    problem = Problem(size=(4, 4, 4), kernel=(3, 3, 3), channels=0, filters=2)
    plan = choose(problem, ROOM)
    x, kernel = np.empty(problem.input_shape, "f4"), np.empty(problem.kernel_shape, "f4")
    y = execute(plan, x, kernel, np.array([1, 2], "f4"))
    np.testing.assert_array_equal(y, np.broadcast_to(np.array([1, 2])[:, None, None, None], (1, 2, 2, 2, 2)))
    assert not execute(plan, x, kernel, None).any()


@pytest.mark.parametrize("method", EVERYWHERE)
def test_a_plan_serves_blocks_of_another_batch(method):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    problem = cube(9, 3, batch=3)
    plan = choose(problem, ROOM, method)
    x, kernel = np.random.default_rng(0).standard_normal((2, *problem.input_shape[1:])), np.ones(problem.kernel_shape)
    y = execute(plan, x.astype("f4"), kernel.astype("f4"), None)
    assert y.shape == (2, *problem.output_shape[1:])
    np.testing.assert_allclose(y[:, :, 4, 4, 4], x[:, :, 3:6, 3:6, 3:6].sum((2, 3, 4)), rtol=1e-4, atol=1e-4)


def predicted(problem: Problem, method: str, threads: int = 1) -> float:
    return choose(problem, Limits(threads, 1 << 40), method).seconds


@pytest.mark.parametrize("method", EVERYWHERE)
def test_more_work_is_predicted_to_take_longer_and_more_threads_less(method):
    if method == "direct" and isa.native() is None:
        pytest.skip("no compiled kernels in this install")
    problem = cube(96, 7, channels=4, filters=4)
    once = predicted(problem, method)
    assert 3 < predicted(replace(problem, batch=4), method) / once < 5
    assert predicted(replace(problem, filters=16), method) > 1.5 * once
    assert predicted(replace(problem, channels=16), method) > 1.5 * once
    assert predicted(replace(problem, size=(192, 96, 96)), method) > 1.5 * once
    assert predicted(replace(problem, dtype="float64"), method) >= once
    batch = replace(problem, batch=4)
    assert 1.5 < predicted(batch, method) / predicted(batch, method, 4) < 4.1
    one, four = (choose(batch, Limits(threads, 1 << 40), method).scratch_bytes for threads in (1, 4))
    assert one < four <= 4 * one  # by other tiles, it may be


def test_the_reference_path_sums_channels_faster_by_a_matrix_product():
    many, single = cube(32, 3, channels=8, filters=8), cube(32, 3, batch=64)
    assert many.multiply_adds == single.multiply_adds
    assert predicted(many, "reference") < 0.5 * predicted(single, "reference")
    sliver, block = Problem((8, 8, 8), (7, 1, 1)), Problem((8, 8, 8), (1, 1, 1))
    calls = (predicted(sliver, "reference") - predicted(block, "reference")) / 6
    assert calls > 0.9 * costs.REFERENCE_CALL


def test_the_reference_path_stays_within_its_blocks():
    for problem in (cube(160, 3), cube(64, 3, channels=16, filters=32), cube(64, 3, strides=(2, 2, 2), channels=8)):
        taps = 8 * int(np.prod(problem.kernel_shape))
        scratch = choose(problem, Limits(3, 1 << 40), "reference").scratch_bytes - taps
        assert 0.2 * 3 * BLOCK_BYTES < scratch <= 3 * BLOCK_BYTES


def test_the_cost_of_a_transform_counts_the_transforms_that_are_made(monkeypatch):
    """With one second for a transform and none for all else, the prediction is the number of transforms."""
    from scipy import fft as transforms

    problem = cube(40, 9, channels=4, filters=6, groups=2, batch=3)
    tile = choose(problem, Limits(1, 1 << 40), "fft").candidate.tile
    for name in ("move_seconds", "spectrum_seconds"):
        monkeypatch.setattr(costs, name, lambda points, transform: 0.0)
    monkeypatch.setattr(costs, "THREADS_START", 0.0)
    monkeypatch.setattr(costs, "transform_seconds", lambda points, transform: 1.0)
    plan = fft._candidate(problem, tile, "float32", 1)
    made = Counter()
    for name in ("rfftn", "irfftn"):
        kept = getattr(transforms, name)
        monkeypatch.setattr(
            transforms, name, lambda *given, kept=kept, name=name, **more: made.update([name]) or kept(*given, **more)
        )
    x, out = (np.zeros(s, "f4") for s in (problem.input_shape, problem.output_shape))
    kernel = np.random.default_rng(0).standard_normal(problem.kernel_shape, "f4")  # equal kernels would be kept
    fft.run(problem, x, kernel, None, out, tile=tile, transform="float32", threads=1)
    assert plan.seconds == made["rfftn"] + made["irfftn"]
    monkeypatch.setattr(costs, "transform_seconds", lambda points, transform: 0.0)
    monkeypatch.setattr(costs, "spectrum_seconds", lambda points, transform: 1.0)
    tiles = made["irfftn"] / problem.filters
    assert fft._candidate(problem, tile, "float32", 1).seconds == tiles * problem.filters * problem.channels / 2


def test_threads_within_one_transform_gain_less_than_threads_over_tiles():
    few = fft._candidate(cube(40, 9), (48, 48, 48), "float64", 4)
    many = fft._candidate(cube(40, 9, batch=4), (48, 48, 48), "float64", 4)
    assert few.seconds < fft._candidate(cube(40, 9), (48, 48, 48), "float64", 1).seconds
    assert many.seconds < 2.5 * few.seconds
    assert many.scratch_bytes > 2 * few.scratch_bytes


def test_what_transforms_cost():
    small, large = 1 << 12, 1 << 26
    for seconds in (costs.transform_seconds, costs.spectrum_seconds, costs.move_seconds):
        assert seconds(small, "float64") > seconds(small, "float32")
        assert seconds(large, "float64") > seconds(large, "float32")
        # Beyond the caches every voxel takes longer.
        assert seconds(large, "float32") / large > 2 * seconds(1 << 18, "float32") / (1 << 18)
        assert seconds(1 << 20, "float32") > 1.2 * seconds((1 << 20) - 1, "float32")
    assert costs.transform_seconds(1, "float32") == pytest.approx(costs.TILE_CALL, rel=0.01)
    operations = 2.5 * (1 << 16) * 16
    assert costs.transform_seconds(1 << 16, "float32") == pytest.approx(operations / 16e9 + costs.TILE_CALL)
    # Two spectra are read and a third is written; a tile is copied once.
    assert costs.spectrum_seconds(small, "float64") * costs.SPECTRUM_BYTES_PER_SECOND == pytest.approx(3 * 8 * small)
    assert costs.move_seconds(small, "float32") * costs.MOVE_BYTES_PER_SECOND == pytest.approx(4 * small)


def test_threads_speed_up_but_never_by_their_number():
    assert costs.speedup(1) == costs.speedup(1, costs.WORKER_GAIN) == 1
    assert 3 < costs.speedup(4) < 4
    assert 1 < costs.speedup(4, costs.WORKER_GAIN) < 3


def test_the_counts_of_a_problem():
    problem = Problem((5, 6, 7), (3, 2, 1), (1, 2, 3), batch=2, channels=4, filters=6, groups=2, dtype="float64")
    assert problem.output_shape == (2, 6, 3, 3, 3)
    assert problem.kernel_shape == (3, 2, 1, 2, 6)
    assert problem.multiply_adds == 2 * 6 * 27 * 6 * 2
    assert (problem.input_bytes, problem.output_bytes) == (2 * 4 * 210 * 8, 2 * 6 * 27 * 8)
    assert replace(problem, dtype="float32").input_bytes == 2 * 4 * 210 * 4
    assert Problem((2, 9, 9), (4, 3, 3)).output_size == (0, 7, 7)
    padded = Problem((5, 6, 7), (3, 2, 1), (1, 2, 3), (2, 1, 1), ((1, 2), (3, 4), (5, 6)), order=(2, 0, 1))
    assert padded.in_memory_order() == Problem(
        (7, 5, 6), (1, 3, 2), (3, 1, 2), (1, 2, 1), ((5, 6), (1, 2), (3, 4)), order=(0, 1, 2)
    )


def test_fast_lengths_are_the_smallest_without_a_factor_above_five():
    fast = sorted(2**a * 3**b * 5**c for a in range(11) for b in range(7) for c in range(5))
    assert [fast_length(n) for n in range(1, 600)] == [next(m for m in fast if m >= n) for n in range(1, 600)]
