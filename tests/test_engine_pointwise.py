"""Kernels of one voxel, in every layout, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import oracle
from support import compiled
from tolerances import assert_close

from conv3d_cli.engine import Limits, Problem, choose, execute, isa, pointwise, threads

pytestmark = compiled

ROOM = Limits(threads=2, memory=1 << 33)


def planar(shape, dtype):
    return np.full(shape, np.nan, dtype)


def channels_last(shape, dtype):
    n, c, *space = shape
    return planar((n, *space, c), dtype).transpose(0, 4, 1, 2, 3)


def fortran(shape, dtype):
    return planar(shape[::-1], dtype).T


def reversed_rows(shape, dtype):
    return planar((*shape[:4], 2 * shape[4]), dtype)[..., ::-2]


def field_of_a_record(shape, dtype):
    return np.full(shape, -1, [("pad", "i1"), ("value", dtype)])["value"]


STORAGE = (planar, channels_last, fortran, reversed_rows, field_of_a_record)


def cases(count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        problem = Problem(
            size=tuple(int(n) for n in rng.integers(1, 14, 3)),
            kernel=(1, 1, 1),
            strides=tuple(int(n) for n in rng.integers(1, 3, 3)),
            batch=int(rng.integers(1, 3)),
            channels=groups * int(rng.integers(1, 20)),
            filters=groups * int(rng.integers(1, 60)),
            groups=groups,
            dtype=str(rng.choice(["float32", "float64"])),
        )
        storage, target = (STORAGE[i] for i in rng.integers(0, len(STORAGE), 2))
        x = storage(problem.input_shape, problem.dtype)
        x[...] = rng.standard_normal(x.shape)
        kernel = rng.standard_normal(problem.kernel_shape).astype(problem.dtype)
        bias = rng.standard_normal(problem.filters).astype(problem.dtype) if rng.random() < 0.5 else None
        yield problem, x, kernel, bias, target


@pytest.mark.parametrize("name", isa.available())
def test_every_layout_agrees_with_the_oracle_in_one_thread_and_in_two(name, monkeypatch):
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    for number, (problem, x, kernel, bias, target) in enumerate(cases(60, 5)):
        monkeypatch.setattr(pointwise, "STREAM_BYTES", 0 if number % 2 else 1 << 40)
        monkeypatch.setattr(pointwise, "_past_the_cache", lambda isa: True)
        monkeypatch.setattr(pointwise, "MOST_VOXELS", 1 if number % 3 else 512)
        monkeypatch.setattr(pointwise, "LEAST_VOXELS", 1)
        outs = [target(problem.output_shape, problem.dtype) for _ in range(2)]
        for count, out in enumerate(outs, 1):
            pointwise.run(problem, x, kernel, bias, out, threads=count, isa=name)
        np.testing.assert_array_equal(*outs)
        want, magnitude = oracle(x, kernel, bias, problem.strides, groups=problem.groups)
        terms = problem.channels // problem.groups
        assert_close("pointwise", problem.dtype, outs[0], want, magnitude, terms)


def wider(shape, dtype):
    """Rows with a gap after each, so that none follows the one before."""
    return planar((*shape[:4], shape[4] + 1), dtype)[..., :-1]


@pytest.mark.parametrize("name", isa.available())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("storage", "target", "size", "groups", "channels", "filters"),
    [
        (planar, planar, (21, 35, 37), 1, 9, 7),  # parts share the channels of the next block unevenly
        (planar, fortran, (21, 35, 37), 2, 3, 25),  # more parts than channels
        (planar, channels_last, (21, 35, 37), 1, 5, 2),  # one part, whose tiles are the widest
        (wider, planar, (5, 31, 96), 1, 17, 13),  # the next block is the next row
        (wider, planar, (5, 31, 37), 1, 17, 13),  # a row ends within a tile: the next is copied in its turn
        (channels_last, planar, (21, 35, 37), 1, 10, 9),  # in its turn, too
    ],
)
def test_blocks_copied_ahead_of_their_turn_agree_with_the_oracle(
    storage, target, size, groups, channels, filters, name, dtype, monkeypatch
):
    monkeypatch.setattr(pointwise, "MOST_VOXELS", 96)
    problem = Problem(size, (1, 1, 1), channels=groups * channels, filters=groups * filters, groups=groups, dtype=dtype)
    x, out = storage(problem.input_shape, dtype), target(problem.output_shape, dtype)
    rng = np.random.default_rng(3)
    x[...] = rng.standard_normal(x.shape)
    kernel = rng.standard_normal(problem.kernel_shape).astype(dtype)
    pointwise.run(problem, x, kernel, None, out, threads=1, isa=name)
    want, magnitude = oracle(x, kernel, None, groups=groups)
    assert_close("pointwise", dtype, out, want, magnitude, channels)


@pytest.mark.parametrize("storage", [planar, channels_last])
def test_large_outputs_that_go_past_the_cache(storage, monkeypatch):
    monkeypatch.setattr(pointwise, "STREAM_BYTES", 0)
    monkeypatch.setattr(pointwise, "_past_the_cache", lambda isa: True)
    problem = Problem((32, 32, 33), (1, 1, 1), channels=8, filters=32)
    x, out = storage(problem.input_shape, "f4"), storage(problem.output_shape, "f4")
    x[...] = np.random.default_rng(0).standard_normal(x.shape)
    kernel = np.random.default_rng(1).standard_normal(problem.kernel_shape).astype("f4")
    want, magnitude = oracle(x, kernel, None)
    for _ in range(2):
        execute(choose(problem, ROOM, "pointwise"), x, kernel, None, out)
        assert_close("pointwise", "float32", out, want, magnitude, 8)


def test_voxels_that_lie_in_vectors_of_parts_of_lines_stay_in_the_cache():
    names = isa.available()
    past = [name for name in names if pointwise._past_the_cache(name)]
    assert past == [name for name in names if name == "x86-64-v4"]


def test_a_non_finite_voxel_stays_alone_and_a_weight_of_zero_carries_it():
    problem = Problem((7, 8, 9), (1, 1, 1), channels=2, filters=11)
    x, kernel = np.ones(problem.input_shape, "f4"), np.zeros(problem.kernel_shape, "f4")
    x[0, 1, 3, 4, 5] = np.nan
    y = execute(choose(problem, ROOM, "pointwise"), x, kernel, None)
    assert np.argwhere(np.isnan(y)).tolist() == [[0, f, 3, 4, 5] for f in range(11)]


def test_the_planner_takes_it_for_kernels_of_one_voxel_and_says_why_not_for_others():
    one = Problem((64, 64, 64), (1, 1, 1), channels=32, filters=64)
    assert choose(one, ROOM).method == "pointwise"
    for problem, reason in (
        (Problem((9, 9, 9), (1, 1, 3)), "the kernel has more than one voxel"),
        (Problem((9, 9, 9), (1, 1, 1), padding=((0, 0), (0, 1), (0, 0))), "padding around a kernel of one voxel"),
    ):
        [row] = [c for c in choose(problem, ROOM).candidates if c.method == "pointwise"]
        assert row.refused == reason


def test_without_kernels_it_says_so(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    [row] = [c for c in choose(Problem((9, 9, 9), (1, 1, 1)), ROOM).candidates if c.method == "pointwise"]
    assert row.refused == "no compiled kernel: no compiler was found"


def test_progress_ends_at_the_whole_and_all_threads_are_used(monkeypatch):
    monkeypatch.setattr(threads, "INLINE_SECONDS", 0)
    counts, heard = [], []
    share = threads.share
    monkeypatch.setattr(
        threads, "share", lambda work, count, **more: counts.append(count) or share(work, count, **more)
    )
    problem = Problem((32, 32, 32), (1, 1, 1), channels=4, filters=4)
    x, kernel = np.ones(problem.input_shape, "f4"), np.ones(problem.kernel_shape, "f4")
    execute(choose(problem, ROOM, "pointwise"), x, kernel, None, tick=heard.append)
    assert (counts, heard[-1]) == ([2], 1.0)
    assert heard == sorted(heard)


def test_wrong_arrays_are_refused_before_any_memory_is_touched():
    problem = Problem((4, 4, 4), (1, 1, 1), channels=2, filters=3)
    x, out = np.ones(problem.input_shape, "f4"), np.empty(problem.output_shape, "f4")
    settings = {"groups": 1, "block": 48, "planar": True, "stream": False, "threads": 1}
    job = isa.native().Pointwise
    kernel = np.ones((2, 3), "f4")
    for wrong in (kernel[:1], kernel[:, :2], kernel.ravel()):
        with pytest.raises(ValueError, match="a row for each channel of a group, a column for each filter"):
            job("generic", x, wrong, None, out, **settings)
    with pytest.raises(ValueError, match="a value for each filter"):
        job("generic", x, kernel, np.ones(2, "f4"), out, **settings)
    with pytest.raises(ValueError, match="x and out must have one size"):
        job("generic", x[:, :, 1:], kernel, None, out, **settings)
    with pytest.raises(ValueError, match="out must have filters"):
        job("generic", x, kernel[:, :0], None, out[:, :0], **settings)
    with pytest.raises(ValueError, match="filters must be neighbours"):
        job("generic", x, kernel, None, out, **{**settings, "planar": False})
    with pytest.raises(ValueError, match="threads must be positive"):
        job("generic", x, kernel, None, out, **{**settings, "threads": 0})


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_each_piece_is_computed_whatever_threads_were_expected_and_come(count):
    problem = Problem((16, 33, 35), (1, 1, 1), batch=2, channels=9, filters=10)
    rng = np.random.default_rng(7)
    x = rng.standard_normal(problem.input_shape, dtype=np.float32)
    kernel = rng.standard_normal((9, 10), dtype=np.float32)
    out = np.full(problem.output_shape, np.nan, "f4")
    job = isa.native().Pointwise(
        isa.active(), x, kernel, None, out, groups=1, block=96, planar=True, stream=False, threads=count
    )
    job.together(2)
    assert 0 < job.done == job.total
    want, magnitude = oracle(x, kernel[None, None, None], None)
    assert_close("pointwise", "float32", out, want, magnitude, 9)
    job.work()
    assert job.done == job.total


def test_threads_stop_within_what_they_have_taken():
    x, out = np.ones((1, 9, 64, 64, 64), "f4"), np.zeros((1, 10, 64, 64, 64), "f4")
    job = isa.native().Pointwise(
        isa.active(), x, np.ones((9, 10), "f4"), None, out, groups=1, block=96, planar=True, stream=False, threads=1
    )
    job.cancel()
    job.work()
    assert (job.done, out.any()) == (0, False)
