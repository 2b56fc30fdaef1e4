"""Direct sums with a Cook-Toom transform along one axis: every instruction set, accuracy, when they are taken."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import test_engine_winograd
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from storages import STORAGE
from support import compiled
from test_engine_winograd import arrays, cube

from conv3d_cli.engine import ACCURACIES, Limits, Problem, choose, execute, isa, settle, toom
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.toom_layout import layout_of
from conv3d_cli.engine.winograd_layout import POINTS
from conv3d_cli.errors import MethodError, OverLimit

ROOM = Limits(threads=2, memory=1 << 33)
ISAS = isa.available()
TILES = [(n, k) for k, points in POINTS.items() if k > 1 for n in points]

pytestmark = compiled


def convolve(problem, points, x, kernel, bias=None, threads=1, **options):
    return test_engine_winograd.convolve(problem, (points, 1, 1), x, kernel, bias, threads, method=toom, **options)


def check(problem, points, monkeypatch, **more):
    """Compare every instruction set with the oracle, and three threads with one."""
    test_engine_winograd.check(problem, (points, 1, 1), monkeypatch, method=toom, **more)


@pytest.mark.parametrize(("points", "taps"), TILES)
@pytest.mark.parametrize("others", [(3, 3), (1, 5), (7, 1)])
@pytest.mark.parametrize(("channels", "filters", "groups"), [(1, 7, 1), (3, 3, 3), (4, 4, 2)])
def test_every_tile_of_a_kernel(points, taps, others, channels, filters, groups, monkeypatch):
    padding = ((1, 0), (0, 2), (3, 1))
    problem = Problem((11, 10, 21), (taps, *others), padding=padding, channels=channels, filters=filters, groups=groups)
    check(replace(problem, dtype=("float32", "float64")[others[0] == 1]), points, monkeypatch)


@pytest.mark.parametrize("axis", range(3))
def test_every_size_from_1_to_40(axis, monkeypatch):
    for size in range(1, 41):
        sizes = tuple(size if i == axis else 4 for i in range(3))
        problem = Problem(sizes, (3, 3, 3), padding=((1, 1),) * 3, channels=1 + size % 2, filters=1 + size % 5)
        check(problem, 6 if size % 3 else 8, monkeypatch, seed=size)


@pytest.mark.parametrize("boundary", ["zero", "constant:2", "mirror", "wrap"])
@pytest.mark.parametrize("steps", [{}, {"strides": (1, 2, 2)}, {"dilation": (1, 2, 3)}, {"size": (6, 9, 16)}])
def test_whatever_lies_where_in_memory_yields_the_same_bits(boundary, steps, monkeypatch):
    problem = Problem((6, 9, 13), (3, 3, 3), padding=((1, 1), (1, 0), (2, 2)), channels=6, filters=9, groups=3)
    problem = replace(problem, **{"boundary": Boundary.parse(boundary)} | steps)
    for name, dtype in product(ISAS, ("float32", "float64")):
        monkeypatch.setenv(isa.VARIABLE, name)
        one = replace(problem, dtype=dtype)
        x, kernel, bias = arrays(one)
        want = convolve(one, 6, x, kernel, bias)
        exact = execute(choose(one, ROOM, "reference"), x, kernel, bias)
        np.testing.assert_allclose(want, exact, atol=1e-4 if dtype == "float32" else 1e-12)
        for storage in (STORAGE["channels_last"], STORAGE["fortran"], STORAGE["every_other_reversed"]):
            beside = storage(one.input_shape, dtype)
            beside[...] = x
            got = convolve(one, 6, beside, kernel, bias, storage=storage)
            np.testing.assert_array_equal(got, want, err_msg=f"{name} {dtype} {storage.__name__}")


@st.composite
def problems(draw):
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    kernel = (draw(st.integers(2, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    strides, dilation = ((1, draw(st.integers(1, 3)), draw(st.integers(1, 3))) for _ in range(2))
    size = tuple(draw(st.integers(0, 20)) + 1 + (k - 1) * d for k, d in zip(kernel, dilation, strict=True))
    return Problem(
        size,
        kernel,
        strides=strides,
        dilation=dilation,
        padding=draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 3)),
        batch=draw(st.integers(1, 2)),
        channels=groups * draw(st.sampled_from((1, 1, 2, 5))),
        filters=groups * draw(st.sampled_from((1, 1, 2, 3, 4, 7, 8, 17))),
        groups=groups,
        dtype=draw(st.sampled_from(("float32", "float64"))),
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    problems(), st.sampled_from(sorted(STORAGE)), st.sampled_from(sorted(STORAGE)), st.booleans(), st.integers(0, 99)
)
def test_random_problems_agree_with_the_oracle(problem, source, target, with_bias, number):
    points = POINTS[problem.kernel[0]]
    with pytest.MonkeyPatch.context() as patch:
        check(
            problem,
            points[number % len(points)],
            patch,
            storages=(STORAGE[source], STORAGE[target]),
            with_bias=with_bias,
        )


@pytest.mark.parametrize(
    ("size", "channels", "filters", "groups"),
    [((40, 44, 40), 1, 4, 1), ((6, 7, 3000), 2, 2, 2), ((33, 128, 64), 1, 3, 1), ((20, 80, 64), 16, 9, 1)],
)
def test_many_blocks(size, channels, filters, groups, monkeypatch):
    problem = Problem(size, (3, 3, 3), padding=((1, 1),) * 3, channels=channels, filters=filters, groups=groups)
    layout = layout_of(problem, 6, 1, isa.active())
    assert layout.direct.items > groups
    check(problem, 6, monkeypatch)


@pytest.mark.parametrize(("points", "taps"), TILES)
def test_the_error_is_what_a_candidate_says(points, taps):
    problem = cube(24, taps, channels=8, filters=4)
    x, kernel, _ = arrays(problem)
    want, _ = oracle(x, kernel, padding=problem.padding)
    seen = np.abs(convolve(problem, points, x, kernel) - want).max() / np.abs(want).max()
    expected = toom.expected_error(problem, (points, 1, 1), kernel)
    assert expected / 8 < seen <= expected


def test_each_accuracy_has_tiles_that_keep_it():
    layer = cube(48, 3, filters=32)
    for accuracy, points in (("default", (6, 8)), ("fast", (6, 8))):
        candidate = choose(layer, ROOM, "toom", accuracy).candidate
        assert candidate.tile[0] in points
        assert candidate.keeps(ACCURACIES[accuracy])
    with pytest.raises(MethodError, match="less accurate than asked"):
        choose(layer, ROOM, "toom", "strict")


def test_a_kernel_that_suits_a_tile_least_is_held_to_its_accuracy():
    problem = cube(24, 5)
    x, kernel, _ = arrays(problem)
    kernel[...] = 0
    kernel[0, 2, 2] = 1
    want, _ = oracle(x, kernel, padding=problem.padding)
    seen = np.abs(convolve(problem, 8, x, kernel) - want).max() / np.abs(want).max()
    spread = choose(problem, ROOM, "toom").candidate.error
    assert seen <= toom.expected_error(problem, (8, 1, 1), kernel)
    assert toom.expected_error(problem, (8, 1, 1), kernel) > spread


def test_values_that_would_spread_take_another_method():
    problem = cube(40, 5, channels=8, filters=8, groups=8)
    x, kernel, _ = arrays(problem)
    plan = choose(problem, ROOM, "toom")
    for value in (np.nan, np.inf, 1e36):
        spoiled = x.copy()
        spoiled[0, 3, 4, 5, 6] = value
        assert settle(replace(plan, method_asked="auto"), spoiled, kernel).method != "toom"
        with pytest.raises(MethodError, match="method 'toom': would spread"):
            execute(plan, spoiled, kernel, None)


@pytest.mark.parametrize("cells", [cube(64, 5, channels=32, filters=32, groups=32), cube(64, 5, filters=32)])
def test_it_is_taken_where_it_is_fastest(cells):
    assert choose(cells, ROOM).method == "toom"
    assert choose(cells, ROOM, accuracy="strict").method != "toom"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"strides": (2, 1, 1)}, "a stride of 2 along the slowest axis"),
        ({"dilation": (2, 1, 1)}, "a dilation of 2 along the slowest axis"),
        ({"kernel": (1, 3, 3)}, "1 taps along the slowest axis, not 2 to 5"),
        ({"kernel": (6, 3, 3)}, "6 taps along the slowest axis, not 2 to 5"),
        ({"channels": 17}, "more than 16 channels in a group"),
        ({"kernel": (5, 12, 12), "dilation": (1, 99, 99), "channels": 16, "dtype": "float64"}, "taps so far apart"),
    ],
)
def test_what_tiles_cannot_serve_is_refused_with_the_reason(changed, reason):
    problem = replace(cube(16, 3, filters=8), **changed)
    problem = replace(problem, size=tuple(16 + k * d for k, d in zip(problem.kernel, problem.dilation, strict=True)))
    with pytest.raises(MethodError, match=f"toom: {reason}"):
        choose(problem, ROOM, "toom")


def test_rows_of_any_length_are_cut():
    assert choose(Problem((4, 4, 1 << 21), (3, 3, 3), filters=8), ROOM, "toom").method == "toom"


def test_without_kernels_it_is_refused(monkeypatch):
    monkeypatch.setattr(isa, "_load", lambda: (None, "no compiler was found"))
    [candidate] = [c for c in choose(cube(16, 3), ROOM).candidates if c.method == "toom"]
    assert candidate.refused == "no compiled kernel: no compiler was found"
    with pytest.raises(MethodError, match="method: 'toom' cannot run: no compiler was found"):
        convolve(cube(4, 3), 4, *arrays(cube(4, 3))[:2])


def test_the_leanest_tile_is_named_where_memory_is_short():
    with pytest.raises(OverLimit) as told:
        choose(cube(48, 3, filters=8), Limits(2, 1000), "toom")
    assert 0 < told.value.needed < 64 << 20


def test_progress_ends_at_the_whole():
    problem = cube(64, 3, filters=8)
    heard = []
    convolve(problem, 6, *arrays(problem), threads=2, tick=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1


@pytest.mark.parametrize(
    "toom_of",
    [
        lambda points, step, inputs, outputs: (5, step, inputs, outputs),
        lambda points, step, inputs, outputs: (points, 6, inputs, outputs),
        lambda points, step, inputs, outputs: (points, 3, inputs, outputs[:6]),
        lambda points, step, inputs, outputs: (points, step, inputs[1:], outputs),
        lambda points, step, inputs, outputs: (points, step, inputs, outputs[1:]),
        lambda points, step, inputs, outputs: None,
    ],
)
def test_a_wrong_tile_is_refused(toom_of, monkeypatch):
    problem, module = cube(9, 3), isa.native()
    given = toom.native_layout(module, problem, 6, layout_of(problem, 6, 1, isa.active()))
    assert given is not None
    real = module.Layout
    monkeypatch.setattr(module, "Layout", lambda **named: real(**{**named, "toom": toom_of(*named["toom"])}))
    toom.native_layout.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"do not fit together|whole tiles|must be"):
            convolve(problem, 6, *arrays(problem))
    finally:
        toom.native_layout.cache_clear()
