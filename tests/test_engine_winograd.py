"""Cook-Toom tiles: their matrices, the kernels at every instruction set, their accuracy, and when they are offered."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from storages import STORAGE, planar
from support import compiled
from tolerances import assert_close

from conv3d_cli.engine import ACCURACIES, Limits, Problem, choose, execute, isa, settle, winograd
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.cook_toom import cook_toom
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.kept import Kept
from conv3d_cli.engine.pages import HUGE
from conv3d_cli.engine.winograd_layout import active_layout, is_local, tiles_for, weight_elements
from conv3d_cli.errors import MethodError, OverLimit

ROOM = Limits(threads=2, memory=1 << 33)
ISAS = isa.available()
GROWTH = {1: 1.0, 4: 1.0, 6: 1.5, 8: 3.0}  # of the error, by the points of an axis
POINTS = [(4, 2), (4, 3), *((n, k) for n in (6, 8) for k in (2, 3, 4, 5))]


def cube(n: int, k: int, **more) -> Problem:
    return Problem(size=(n,) * 3, kernel=(k,) * 3, padding=((k // 2, k // 2),) * 3, **more)


def arrays(problem, storage=planar, seed=0):
    rng = np.random.default_rng(seed)
    x = storage(problem.input_shape, problem.dtype)
    x[...] = rng.standard_normal(x.shape)
    shapes = (problem.kernel_shape, (problem.filters,))
    return x, *(rng.standard_normal(shape).astype(problem.dtype) for shape in shapes)


def convolve(problem, tile, x, kernel, bias=None, threads=1, storage=planar, method=winograd, **options):
    out = storage(problem.output_shape, problem.dtype)
    out[...] = np.nan
    method.run(problem, x, kernel, bias, out, tile=tile, transform=problem.dtype, threads=threads, **options)
    return out


def check(problem, tile, monkeypatch, storages=(planar, planar), with_bias=True, seed=0, method=winograd):
    """Compare every instruction set with the oracle, and three threads with one."""
    x, kernel, bias = arrays(problem, storages[0], seed)
    bias = bias if with_bias else None
    geometry = {
        "strides": problem.strides,
        "dilation": problem.dilation,
        "padding": problem.padding,
        "groups": problem.groups,
    }
    want, magnitude = oracle(x, kernel, bias, **geometry)
    # A tile rounds by all that is in it, also where an output sees little of it.
    magnitude = np.maximum(magnitude, np.abs(x).max() * np.abs(kernel).sum(axis=(0, 1, 2, 3)).max())
    magnitude *= np.prod([GROWTH[n] for n in tile])
    for name in ISAS:
        monkeypatch.setenv(isa.VARIABLE, name)
        out = convolve(problem, tile, x, kernel, bias, storage=storages[1], method=method)
        assert_close(method.__name__.rpartition(".")[2], problem.dtype, out, want, magnitude, 1, 2)
        again = convolve(problem, tile, x, kernel, bias, 3, storages[1], method)
        np.testing.assert_array_equal(out.view(), again, err_msg=f"{name}: three threads, other bits")


@pytest.mark.parametrize(("points", "taps"), POINTS)
def test_a_tile_is_the_correlation_exactly(points, taps):
    outputs = points - taps + 1
    matrices = cook_toom(outputs, taps)
    x = [Fraction(7 * i * i - 5 * i + 2, 3) for i in range(outputs + taps - 1)]
    g = [Fraction(k * k + 1, k + 2) for k in range(taps)]
    values = [
        sum(a * b for a, b in zip(b_row, x, strict=True)) * sum(a * b for a, b in zip(g_row, g, strict=True))
        for b_row, g_row in zip(matrices.inputs, matrices.kernel, strict=True)
    ]
    y = [sum(a * v for a, v in zip(row, values, strict=True)) for row in matrices.outputs]
    assert y == [sum(g[k] * x[j + k] for k in range(taps)) for j in range(outputs)]


@compiled
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 5, 5), (2, 3, 4), (1, 5, 2), (4, 1, 3), (3, 2, 1), (1, 1, 2)])
def test_every_tile_of_a_kernel(kernel, monkeypatch):
    tiles = product(*([n for n, k in POINTS if k == taps] if taps > 1 else [1] for taps in kernel))
    problem = Problem((9, 10, 11), kernel, padding=((1, 0), (0, 2), (3, 1)), channels=5, filters=3)
    for number, tile in enumerate(tiles):
        check(replace(problem, dtype=("float32", "float64")[number % 2]), tile, monkeypatch, seed=number)


@compiled
@pytest.mark.parametrize("axis", range(3))
def test_every_size_from_1_to_40(axis, monkeypatch):
    for size in range(1, 41):
        sizes = tuple(size if i == axis else 4 for i in range(3))
        problem = Problem(sizes, (3, 3, 3), padding=((1, 1),) * 3, channels=4, filters=2)
        check(problem, (4, 6, 6) if size % 2 else (6, 4, 8), monkeypatch, seed=size)


@compiled
@pytest.mark.parametrize("points", [4, 6, 8])
def test_rows_of_some_vectors_of_tiles_and_a_rest(points, monkeypatch):
    for size in (*range(41, 92, 3), *range(92, 152, 11)):
        padding = ((1, 1), (1, 1), (size % 4, size % 3))
        problem = Problem((3, 4, size), (3, 3, 3), padding=padding, channels=4, filters=2)
        for dtype in ("float32", "float64"):
            check(replace(problem, dtype=dtype), (4, 4, points), monkeypatch, seed=size)


@compiled
@pytest.mark.parametrize("boundary", ["zero", "constant:2", "mirror", "wrap"])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_rows_read_where_they_stand_yield_the_same_bits(dilation, boundary, monkeypatch):
    storage = STORAGE["every_other_reversed"]
    for name, size, points in product(ISAS, (40, 47, 101, 150), (4, 6, 8)):
        monkeypatch.setenv(isa.VARIABLE, name)
        problem = Problem((4, 5, size), (3, 3, 3), padding=((1, 1), (1, 1), (3, 2)), channels=4, filters=2)
        problem = replace(problem, dilation=(1, 1, dilation), boundary=Boundary.parse(boundary))
        x, kernel, bias = arrays(problem)
        apart = storage(problem.input_shape, problem.dtype)
        apart[...] = x
        want = convolve(problem, (4, 4, points), apart, kernel, bias, storage=storage)
        got = convolve(problem, (4, 4, points), x, kernel, bias)
        np.testing.assert_array_equal(got, want, err_msg=f"{name}, {size} voxels, {points} points")


@compiled
@pytest.mark.parametrize("boundary", ["zero", "constant:2", "mirror", "wrap"])
@pytest.mark.parametrize(("channels", "filters"), [(33, 6), (5, 35), (16, 17)])
@pytest.mark.parametrize("steps", [{}, {"strides": (2, 1, 2), "kernel": (4, 3, 5)}, {"dilation": (1, 1, 2)}])
def test_channels_that_lie_side_by_side_yield_the_same_bits(channels, filters, steps, boundary, monkeypatch):
    around = Boundary.parse(boundary)
    problem = Problem((6, 9, 13), (3, 3, 3), padding=((1, 1), (1, 0), (2, 2)), channels=channels, filters=filters)
    problem = replace(problem, **{"boundary": around} | steps)
    tile = tuple(6 for _ in range(3))
    for name, dtype in product(ISAS, ("float32", "float64")):
        monkeypatch.setenv(isa.VARIABLE, name)
        one = replace(problem, dtype=dtype)
        x, kernel, bias = arrays(one)
        want = convolve(one, tile, x, kernel, bias)
        for storage in (STORAGE["channels_last"], STORAGE["fortran"], STORAGE["every_other_reversed"]):
            beside = storage(one.input_shape, dtype)
            beside[...] = x
            got = convolve(one, tile, beside, kernel, bias, storage=storage)
            np.testing.assert_array_equal(got, want, err_msg=f"{name} {dtype} {storage.__name__}")


def triples(low, high):
    return st.tuples(*[st.integers(low, high)] * 3)


@st.composite
def problems(draw):
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    strides = draw(st.one_of(st.just((1, 1, 1)), triples(1, 3)))
    each = draw(triples(1, 5).filter(lambda k: max(k) > 1))
    kernel = tuple(max((k - 1) * s + 1 + draw(st.integers(0, s - 1)), 1) for k, s in zip(each, strides, strict=True))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 3))
    dilation = draw(st.one_of(st.just((1, 1, 1)), triples(1, 4)))
    dilation = tuple(1 if s > 1 else d for d, s in zip(dilation, strides, strict=True))
    size = tuple(draw(st.integers(0, 15)) + 1 + (k - 1) * d for k, d in zip(kernel, dilation, strict=True))
    return Problem(
        size,
        kernel,
        strides=strides,
        dilation=dilation,
        padding=padding,
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.sampled_from((1, 4, 5, 8))),
        filters=groups * draw(st.sampled_from((1, 2, 3, 4, 7, 8, 9, 17))),
        groups=groups,
        dtype=draw(st.sampled_from(("float32", "float64"))),
    )


@compiled
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    problems(), st.sampled_from(sorted(STORAGE)), st.sampled_from(sorted(STORAGE)), st.booleans(), st.integers(0, 99)
)
def test_random_problems_agree_with_the_oracle(problem, source, target, with_bias, number):
    tiles = list(tiles_for(problem))
    with pytest.MonkeyPatch.context() as patch:
        check(problem, tiles[number % len(tiles)], patch, (STORAGE[source], STORAGE[target]), with_bias)


@compiled
@pytest.mark.parametrize(
    ("size", "channels", "filters"),
    [((40, 40, 40), 4, 4), ((6, 7, 200), 7, 5), ((5, 5, 5), 600, 9), ((5, 6, 7), 9, 400)],
)
def test_many_blocks_channels_and_filters(size, channels, filters, monkeypatch):
    problem = Problem(size, (3, 3, 3), padding=((1, 1),) * 3, channels=channels, filters=filters)
    check(problem, (6, 6, 6), monkeypatch)


@compiled
@pytest.mark.parametrize(("tile", "taps"), [(((n,) * 3), k) for n, k in POINTS] + [((6, 8, 6), 3)])
def test_the_error_is_what_a_candidate_says(tile, taps):
    problem = cube(24, taps, channels=32, filters=4)
    x, kernel, _ = arrays(problem)
    want, _ = oracle(x, kernel, padding=problem.padding)
    seen = np.abs(convolve(problem, tile, x, kernel) - want).max() / np.abs(want).max()
    expected = winograd.expected_error(problem, tile, kernel, 1)
    assert expected / 8 < seen <= expected


@compiled
def test_each_accuracy_has_tiles_that_keep_it():
    layer = cube(48, 3, channels=32, filters=32)
    for accuracy, tiles in (("strict", [(4, 4, 4)]), ("default", [(6, 6, 6)]), ("fast", [(6, 6, 6), (8, 8, 8)])):
        candidate = choose(layer, ROOM, "winograd", accuracy).candidate
        assert (
            candidate.tile
            in [*tiles, (4, 6, 6), (6, 4, 6), (6, 6, 4), (6, 8, 6)][: 1 if accuracy == "strict" else None]
        )
        assert candidate.keeps(ACCURACIES[accuracy])
    with pytest.raises(MethodError, match="less accurate than asked"):
        choose(cube(48, 5, channels=32, filters=32), ROOM, "winograd", "strict")


@compiled
def test_a_bright_voxel_disturbs_no_window_that_lacks_it_where_a_tile_is_local():
    problem = cube(12, 3, channels=4, filters=2)
    x, kernel, _ = arrays(problem)
    bright = x.copy()
    bright[0, 1, 5, 6, 7] = 1e6
    for tile, held in (((4, 4, 4), True), ((6, 6, 6), False)):
        assert is_local(problem, tile) is held
        differs = (convolve(problem, tile, x, kernel) != convolve(problem, tile, bright, kernel))[0].any(axis=0)
        differs[4:7, 5:8, 6:9] = False
        assert differs.any() == (not held)


@compiled
def test_values_that_would_spread_take_another_method():
    problem = cube(32, 3, channels=32, filters=32)
    x, kernel, _ = arrays(problem)
    plan = choose(problem, ROOM)
    assert plan.method == "winograd"
    assert settle(plan, x, kernel).candidate.tile == plan.candidate.tile
    for value in (np.nan, np.inf, 1e36):
        spoiled = x.copy()
        spoiled[0, 3, 4, 5, 6] = value
        # A transform in float64 takes what is finite and too large for float32.
        assert settle(plan, spoiled, kernel).method in ("direct", "fft" if np.isfinite(value) else "direct")
        with pytest.raises(MethodError, match="method 'winograd': would spread"):
            execute(choose(problem, ROOM, "winograd"), spoiled, kernel, None)
    strided = spoiled[..., ::2]
    assert winograd.largest(strided) == np.abs(strided).max()
    assert np.isnan(winograd.largest(np.array([1, np.nan], "f4")))
    kernel[1, 1, 1, 0, 0] = np.nan
    assert settle(plan, x, kernel).method == "direct"


@compiled
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"strides": (1, 2, 1), "dilation": (1, 2, 1)}, "a stride and a dilation along one axis"),
        ({"strides": (1, 1, 8)}, "a stride of 8, more than 7"),
        ({"strides": (3, 3, 3)}, "a kernel of 3x3x3, not of 2 to 5 taps for each voxel of a stride"),
        ({"kernel": (1, 1, 1)}, "a kernel of 1x1x1, not of 2 to 5 taps"),
        ({"kernel": (3, 6, 3)}, "a kernel of 3x6x3, not of 2 to 5 taps"),
        ({"channels": 3}, "fewer than 4 channels in a group"),
        ({"groups": 4}, "fewer than 4 channels in a group"),
    ],
)
def test_what_tiles_cannot_serve_is_refused_with_the_reason(changed, reason):
    problem = replace(cube(16, 3, channels=8, filters=8), **changed)
    with pytest.raises(MethodError, match=f"winograd: {reason}"):
        choose(problem, ROOM, "winograd")


def test_without_kernels_it_is_refused(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    [candidate] = [c for c in choose(cube(16, 3, channels=8), ROOM).candidates if c.method == "winograd"]
    assert candidate.refused == "no compiled kernel: no compiler was found"
    with pytest.raises(MethodError, match="method: 'winograd' cannot run: no compiler was found"):
        convolve(cube(4, 3), (4, 4, 4), *[None] * 2)


@compiled
def test_dilation_of_an_axis_of_one_tap_means_nothing(monkeypatch):
    problem = Problem((8, 9, 10), (3, 3, 1), dilation=(1, 1, 5), channels=4, filters=4)
    assert choose(problem, ROOM, "winograd").method == "winograd"
    check(problem, (4, 4, 1), monkeypatch)


@compiled
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("dilation", [2, 3, 4, 7])
def test_every_size_with_a_dilation(axis, dilation, monkeypatch):
    kernel = tuple(3 if i == axis else 2 for i in range(3))
    gaps = tuple(dilation if i == axis else 1 for i in range(3))
    for size in range(1, 41, 3):
        sizes = tuple(size if i == axis else 4 for i in range(3))
        problem = Problem(sizes, kernel, dilation=gaps, padding=((dilation, dilation),) * 3, channels=4, filters=2)
        check(problem, (6, 4, 6) if size % 2 else (4, 6, 4), monkeypatch, seed=size)


@compiled
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (4, 2), (5, 2), (10, 2), (5, 3), (2, 3), (8, 7)])
def test_every_size_with_a_stride(axis, taps, stride, monkeypatch):
    kernel, strides = (tuple(n if i == axis else m for i in range(3)) for n, m in ((taps, 2), (stride, 1)))
    for size in range(1, 41, 5):
        sizes = tuple(size + taps - 1 if i == axis else 4 for i in range(3))
        pads = ((1, 2),) * 3
        problem = Problem(sizes, kernel, strides=strides, padding=pads, channels=4, filters=2, groups=1 + size % 2)
        tiles = list(tiles_for(problem))
        check(problem, tiles[size % len(tiles)], monkeypatch, seed=size)


@compiled
@pytest.mark.parametrize("strides", [(2, 2, 2), (2, 1, 3), (1, 2, 2)])
def test_many_blocks_with_a_stride(strides, monkeypatch):
    sizes = tuple(16 * s + 13 for s in strides)
    problem = Problem(sizes, (3, 4, 5), strides=strides, padding=((2, 2),) * 3, channels=20, filters=9)
    assert active_layout(problem, (6, 6, 6), 2).items > 1
    check(problem, (6, 6, 6), monkeypatch)


@compiled
@pytest.mark.parametrize("dilation", [(2, 2, 2), (3, 1, 5), (1, 4, 2)])
def test_many_blocks_with_a_dilation(dilation, monkeypatch):
    problem = Problem((30, 33, 60), (3, 3, 3), dilation=dilation, padding=((2, 2),) * 3, channels=24, filters=9)
    assert active_layout(problem, (6, 6, 6), 2).items > 1
    check(problem, (6, 6, 6), monkeypatch)


@compiled
def test_a_tile_of_a_dilation_costs_about_what_one_without_does():
    problem = cube(48, 3, channels=16, filters=16)
    spread = replace(problem, dilation=(2, 2, 2), padding=((2, 2),) * 3)
    once, twice = (choose(p, ROOM, "winograd") for p in (problem, spread))
    assert once.seconds <= twice.seconds < 1.5 * once.seconds


@compiled
@pytest.mark.parametrize("tile", [(4, 4, 4), (6, 6, 6), (8, 6, 4)])
@pytest.mark.parametrize("changed", [{}, {"dilation": (1, 3, 3)}, {"strides": (2, 2, 2), "kernel": (6, 6, 5)}])
@pytest.mark.parametrize(("channels", "filters"), [(4, 64), (32, 32), (100, 5)])
def test_the_memory_that_is_stated_bounds_what_is_taken(tile, changed, channels, filters):
    problem = replace(cube(48, 3, channels=channels, filters=filters), **changed)
    layout = active_layout(problem, tile, 2)
    module = isa.native()
    x, kernel, _ = arrays(problem)
    out = planar(problem.output_shape, "f4")
    kernels = winograd.transformed(problem, kernel, tile, 1)
    assert kernels.bytes == 4 * weight_elements(problem, tile)
    job = module.WinogradJob(
        kernels, winograd._axes(module, problem, layout.step, layout.tiles), native_boundary(problem), x, None, out
    )
    assert 0.7 * (layout.scratch_bytes - HUGE) < job.scratch_bytes <= layout.scratch_bytes


@compiled
def test_the_leanest_tile_is_offered_where_memory_is_short():
    problem = cube(48, 3, channels=32, filters=32)
    roomy = choose(problem, ROOM, "winograd")
    tight = Limits(2, problem.input_bytes + problem.output_bytes + roomy.scratch_bytes - 1)
    assert choose(problem, tight, "winograd").scratch_bytes < roomy.scratch_bytes
    with pytest.raises(OverLimit) as told:
        choose(problem, Limits(2, 1000), "winograd")
    least = told.value.needed - problem.input_bytes - problem.output_bytes
    assert 0 < least < roomy.scratch_bytes


@compiled
def test_more_work_is_predicted_to_take_longer():
    problem = cube(48, 3, channels=16, filters=16)

    def seconds(problem, threads=1):
        return choose(problem, Limits(threads, 1 << 40), "winograd").seconds

    once = seconds(problem)
    assert 3 < seconds(replace(problem, batch=4)) / once < 5
    assert seconds(replace(problem, channels=64)) / once > 1.5
    assert seconds(replace(problem, filters=64)) / once > 1.5
    assert 1.5 < once / seconds(problem, 2) < 2.1
    assert seconds(replace(problem, dtype="float64")) > 1.3 * once


@compiled
def test_progress_ends_at_the_whole():
    problem = cube(40, 3, channels=8, filters=8)
    heard = []
    convolve(problem, (6, 6, 6), *arrays(problem), threads=2, tick=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1
    small, heard = cube(4, 3, channels=4), []
    convolve(small, (4, 4, 4), *arrays(small), tick=heard.append)
    assert heard == [1]


@pytest.fixture
def prepared(monkeypatch):
    """What was transformed, in a process that has kept nothing yet."""
    made, transform = [], winograd.transformed

    def counted(problem, kernel, tile, threads):
        made.append(tile)
        return transform(problem, kernel, tile, threads)

    monkeypatch.setattr(winograd, "transformed", counted)
    monkeypatch.setattr(winograd, "KERNELS", Kept(1 << 24))
    return made


@compiled
def test_a_kernel_is_transformed_once_for_all_volumes_of_a_layer(prepared):
    problem = cube(12, 3, channels=8, filters=6)
    x, kernel, bias = arrays(problem)
    first = convolve(problem, (6, 6, 6), x, kernel, bias)
    np.testing.assert_array_equal(convolve(problem, (6, 6, 6), x, kernel.copy(), bias, threads=3), first)
    larger = replace(problem, size=(15, 12, 20), batch=2)
    convolve(larger, (6, 6, 6), arrays(larger)[0], kernel)
    dilated = replace(problem, dilation=(2, 1, 3))
    convolve(dilated, (6, 6, 6), x, kernel)
    assert prepared == [(6, 6, 6)]


@compiled
def test_what_changes_the_transformed_kernel_makes_a_new_one(prepared, monkeypatch):
    problem = cube(8, 3, channels=8, filters=6)
    x, kernel, _ = arrays(problem)
    convolve(problem, (4, 4, 4), x, kernel)
    doubled = 2 * convolve(problem, (4, 4, 4), x, kernel)
    kernel *= 2
    np.testing.assert_array_equal(convolve(problem, (4, 4, 4), x, kernel), doubled)
    convolve(problem, (4, 6, 4), x, kernel)
    grouped = replace(problem, channels=16, groups=2)
    convolve(grouped, (4, 4, 4), np.concatenate([x, x], axis=1), kernel)
    convolve(replace(problem, dtype="float64"), (4, 4, 4), x.astype("f8"), kernel.astype("f8"))
    convolve(replace(problem, strides=(2, 2, 2)), (4, 4, 4), x, kernel)
    assert len(prepared) == 6
    for name in ISAS[1:]:
        monkeypatch.setenv(isa.VARIABLE, name)
        convolve(problem, (4, 4, 4), x, kernel)
    assert len(prepared) == 5 + len(ISAS)


@compiled
def test_threads_share_what_was_kept(prepared):
    problem = cube(10, 3, channels=8, filters=8)
    x, kernel, bias = arrays(problem)
    want = convolve(problem, (6, 6, 6), x, kernel, bias)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: convolve(problem, (6, 6, 6), x, kernel, bias), range(40)):
            np.testing.assert_array_equal(got, want)
    assert len(prepared) == 1


@compiled
def test_a_job_holds_the_kernels_that_it_reads():
    module, problem = isa.native(), cube(9, 3, channels=4, filters=4)
    x, kernel, _ = arrays(problem)
    want = convolve(problem, (4, 4, 4), x, kernel)
    out, layout = planar(problem.output_shape, "f4"), active_layout(problem, (4, 4, 4), 1)
    kernels = winograd.transformed(problem, kernel, (4, 4, 4), 1)
    job = module.WinogradJob(
        kernels, winograd._axes(module, problem, layout.step, layout.tiles), native_boundary(problem), x, None, out
    )
    del kernels
    gc.collect()
    others = [winograd.transformed(problem, 2 * kernel, (4, 4, 4), 1) for _ in range(4)]
    job.work()
    np.testing.assert_array_equal(out, want)
    assert len(others) == 4


@compiled
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": 3}, "a tile needs 4, 6 or 8 points"),
        ({"step": -2}, "a tile needs 4, 6 or 8 points"),
        ({"stride": 0}, "a stride must be 1 to 7"),
        ({"stride": 8}, "a stride must be 1 to 7"),
        ({"stride": 3}, "a tile needs 4, 6 or 8 points"),
        ({"kernel": [1.0]}, "a matrix does not fit its tile"),
    ],
)
def test_a_wrong_matrix_is_refused(changed, message):
    module, kernel = isa.native(), np.ones((3, 3, 3, 4, 4), "f4")
    right = {"step": 2, "stride": 1, "kernel": cook_toom(2, 3).kernel_factors}
    axes = [module.WinogradMatrix(**row) for row in (right, {**right, **changed}, right)]
    with pytest.raises(ValueError, match=message):
        module.WinogradKernels(isa.active(), axes, 1, kernel)


@compiled
def test_an_axis_with_a_stride_has_no_dilation():
    module, problem = isa.native(), Problem((9, 9, 9), (4, 3, 3), strides=(2, 1, 1), channels=4, filters=4)
    x, kernel, _ = arrays(problem)
    kernels = winograd.transformed(problem, kernel, (4, 4, 4), 1)
    factors = [cook_toom(step, 5 - step) for step in (3, 2, 2)]
    axes = [
        module.WinogradAxis(before=0, dilation=2, tiles=2, inputs=f.input_factors, outputs=f.output_factors)
        for f in factors
    ]
    with pytest.raises(ValueError, match="no axis may have a stride and a dilation"):
        module.WinogradJob(kernels, axes, native_boundary(problem), x, None, planar(problem.output_shape, "f4"))


@compiled
def test_kernels_are_prepared_from_what_they_were_sized_for():
    problem = cube(6, 3, channels=4, filters=4)
    x, kernel, _ = arrays(problem)
    kernels = winograd.transformed(problem, kernel, (4, 4, 4), 1)
    for wrong, piece, kind, message in (
        (kernel[..., :2], 0, ValueError, "the kernel has another shape"),
        (kernel, kernels.pieces, ValueError, "no such kernels"),
        (kernel.astype("f8"), 0, TypeError, "the kernel has another dtype"),
        (kernel.astype("i4"), 0, TypeError, "values must be float32 or float64"),
    ):
        with pytest.raises(kind, match=message):
            kernels.prepare(wrong, piece)
    layout = active_layout(problem, (4, 4, 4), 1)
    axes = winograd._axes(isa.native(), problem, layout.step, layout.tiles)
    for source, kind, message in (
        (x[:, :2], ValueError, "channels, filters and groups do not fit together"),
        (x.astype("f8"), TypeError, "must have one dtype"),
    ):
        out = planar(problem.output_shape, source.dtype)
        with pytest.raises(kind, match=message):
            isa.native().WinogradJob(kernels, axes, native_boundary(problem), source, None, out)


@compiled
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tiles": 0}, "must be positive"),
        ({"dilation": 0}, "must be positive"),
        ({"dilation": 2}, "tiles must be a multiple of the dilation"),
        ({"inputs": [1.0]}, "a matrix does not fit its tile"),
        ({"outputs": []}, "a matrix does not fit its tile"),
    ],
)
def test_a_wrong_layout_is_refused(changed, message):
    module, problem = isa.native(), cube(6, 3, channels=4, filters=4)
    x, kernel, _ = arrays(problem)
    right = cook_toom(2, 3)
    given = {
        "before": 1, "dilation": 1, "tiles": 3,
        "inputs": right.input_factors, "outputs": right.output_factors,
    }  # fmt: skip
    axes = [module.WinogradAxis(**row) for row in (given, {**given, **changed}, given)]
    kernels = winograd.transformed(problem, kernel, (4, 4, 4), 1)
    with pytest.raises(ValueError, match=message):
        module.WinogradJob(kernels, axes, native_boundary(problem), x, None, planar(problem.output_shape, "f4"))
