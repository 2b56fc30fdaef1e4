"""The error that Cook-Toom tiles are said to make of a kernel, and what the planner makes of it.

Kernels of one tap are the hardest: all their weight may stand at the ends of the axes.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from oracle import oracle
from support import compiled

from conv3d_cli.bench.grid import GRID
from conv3d_cli.engine import ACCURACIES, Limits, Problem, choose, execute, settle, winograd
from conv3d_cli.engine.cook_toom import cook_toom
from conv3d_cli.engine.kept import Kept
from conv3d_cli.engine.winograd_error import error, error_of, worst
from conv3d_cli.engine.winograd_layout import tiles_for
from conv3d_cli.errors import MethodError, OverLimit

pytestmark = compiled

ROOM = Limits(threads=2, memory=1 << 33)
FILTERS = 2
KERNELS = [(2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5), (3, 4, 3), (2, 5, 3), (1, 3, 4), (1, 1, 5), (1, 2, 1)]
INPUTS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "integers": lambda rng, shape: rng.integers(-4, 5, shape),
    "signs": lambda rng, shape: rng.choice([-1, 1], shape),
}


def one_tap(problem: Problem, place, rng) -> np.ndarray:
    kernel = np.zeros(problem.kernel_shape, problem.dtype)
    kernel[place] = rng.standard_normal(kernel.shape[3:])
    return kernel


def expected(problem: Problem, tile, kernel) -> float:
    return winograd.expected_error(problem, tile, kernel, 1)


def errors(problem: Problem, tile, x, kernel, want) -> np.ndarray:
    """Return the largest error of each filter, relative to its largest output."""
    out = np.empty(problem.output_shape, problem.dtype)
    winograd.run(problem, x, kernel, None, out, tile=tile, transform=problem.dtype, threads=1)
    return np.abs(out - want).max(axis=(0, 2, 3, 4)) / np.abs(want).max(axis=(0, 2, 3, 4))


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("channels", [4, 32])
@pytest.mark.parametrize("size", KERNELS)
def test_a_tap_at_any_place_errs_no_more_than_expected(size, channels, kind):
    rng, places = np.random.default_rng(0), list(product(*map(range, size)))
    each = Problem(tuple(k + 14 if k > 1 else 7 for k in size), size, channels=channels, filters=FILTERS)
    problem = replace(each, filters=FILTERS * len(places))
    kernels = [one_tap(each, place, rng) for place in places]
    x, kernel = INPUTS[kind](rng, problem.input_shape).astype("f4"), np.concatenate(kernels, axis=4)
    want = np.concatenate([oracle(x, one)[0] for one in kernels], axis=1)
    for tile in {*list(tiles_for(problem))[:1], *list(tiles_for(problem))[-3:]}:
        seen = errors(problem, tile, x, kernel, want).reshape(-1, FILTERS).max(axis=1)
        for place, one, err in zip(places, kernels, seen, strict=True):
            bound = expected(each, tile, one)
            assert err <= bound <= worst(each, tile), f"{tile}, tap {place}: {err:.3g}, expected {bound:.3g}"


@pytest.mark.parametrize("name", ACCURACIES)
@pytest.mark.parametrize("size", KERNELS)
def test_a_tap_at_any_place_keeps_each_accuracy(size, name):
    problem = Problem(tuple(2 * k + 9 for k in size), size, channels=8, filters=2)
    rng, asked = np.random.default_rng(1), ACCURACIES[name].error
    x, served, refusals = rng.standard_normal(problem.input_shape).astype("f4"), 0, []
    for place in product(*({0, k // 2, k - 1} for k in size)):
        kernel = one_tap(problem, place, rng)
        want, _ = oracle(x, kernel)
        for method in ("auto", "winograd"):
            try:
                plan = settle(choose(problem, ROOM, method, name), x, kernel)
            except MethodError as error:
                refusals.append(f"{method}: {error}")
                continue
            assert plan.candidate.error <= asked
            assert np.abs(execute(plan, x, kernel, None, settled=True) - want).max() <= asked * np.abs(want).max()
            served += plan.method == "winograd"
    assert served or name == "strict"
    assert all(r.startswith("winograd") and "winograd: less accurate than asked" in r for r in refusals)


@pytest.mark.parametrize("channels", [64, 256, 1024])
def test_many_channels_lose_little_more_than_few(channels):
    """What is summed one after the other would lose as the square root of the channels: five times here."""
    rng, tile = np.random.default_rng(0), (4, 4, 4)
    problem = Problem((14, 14, 14), (3, 3, 3), channels=channels, filters=3)
    x, kernel = (rng.standard_normal(s).astype("f4") for s in (problem.input_shape, problem.kernel_shape))
    seen = errors(problem, tile, x, kernel, oracle(x, kernel)[0]).max()
    assert seen <= expected(problem, tile, kernel)
    few = replace(problem, channels=32)
    assert expected(problem, tile, kernel) < 1.6 * expected(few, tile, kernel[:, :, :, :32])


@pytest.mark.parametrize(("strides", "groups"), [((1, 1, 1), 1), ((2, 1, 3), 1), ((1, 1, 1), 3), ((2, 2, 2), 2)])
def test_the_energies_are_those_of_the_transformed_kernel(strides, groups):
    """The quadratic form that the loss is, computed here from the kernel's taps one by one."""
    rng, size = np.random.default_rng(3), tuple(2 * s + 1 for s in strides)
    problem = Problem((20, 20, 20), size, strides=strides, channels=5 * groups, filters=3 * groups, groups=groups)
    kernel = rng.standard_normal(problem.kernel_shape).astype("f4")
    tile = list(tiles_for(problem))[-1]
    made = winograd.transformed(problem, kernel, tile, 1)
    sums = np.empty(made.sums)
    made.energies(sums)
    found = sums.reshape(groups, tile[1], tile[2], tile[0], -1).transpose(0, 4, 3, 1, 2).reshape(-1, *tile)
    want = np.zeros_like(found)
    rows = [-(-k // s) for k, s in zip(size, strides, strict=True)]
    matrices = [np.array(cook_toom(n - r + 1, r).kernel, float) for n, r in zip(tile, rows, strict=True)]
    for residue in product(*map(range, strides)):
        taps = kernel[tuple(slice(q, None, s) for q, s in zip(residue, strides, strict=True))].astype(float)
        cut = [m[:, :n] for m, n in zip(matrices, taps.shape, strict=False)]
        want += np.square(np.einsum("ai,bj,ck,ijkdf->abcdf", *cut, taps)).sum(axis=3).transpose(3, 0, 1, 2)
    np.testing.assert_allclose(found, want, rtol=1e-5)
    with pytest.raises(ValueError, match="as many sums as asked for"):
        made.energies(sums[1:])


@pytest.mark.parametrize("groups", [1, 3])
def test_with_little_memory_the_same_is_expected_of_a_kernel(groups, monkeypatch):
    problem, tile = Problem((9, 9, 9), (3, 3, 3), channels=12, filters=21, groups=groups), (6, 8, 6)
    kernel = np.random.default_rng(0).standard_normal(problem.kernel_shape).astype("f4")
    whole, made = expected(problem, tile, kernel), []
    monkeypatch.setattr(winograd, "KERNELS", Kept(1 << 20))
    transform = winograd.transformed
    monkeypatch.setattr(winograd, "transformed", lambda *given: made.append(transform(*given)) or made[-1])
    assert winograd.expected_error(problem, tile, kernel, 1, keep=False) == pytest.approx(whole, rel=1e-12)
    assert max(part.bytes for part in made) <= 4 * 288 * problem.channels // groups * winograd.FEW_FILTERS


def test_weights_spread_over_the_taps_are_expected_to_err_as_their_shape_says():
    rng, problem = np.random.default_rng(0), Problem((30, 30, 30), (3, 4, 5), channels=64, filters=16)
    kernel = rng.standard_normal(problem.kernel_shape).astype("f4")
    for tile in tiles_for(problem):
        assert error(problem, tile) <= expected(problem, tile, kernel) < 1.25 * error(problem, tile)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_neither_the_scale_of_a_kernel_nor_filters_of_zeros_matter(scale):
    problem, tile = Problem((9, 9, 9), (3, 3, 3), channels=4, filters=3), (6, 6, 6)
    kernel = one_tap(problem, (0, 2, 2), np.random.default_rng(0))
    kernel[..., 1] = 0
    whole = expected(problem, tile, kernel)
    assert expected(problem, tile, (scale * kernel).astype("f4")) == pytest.approx(whole, rel=1e-5)
    assert expected(problem, tile, 0 * kernel) == error(problem, tile)
    kernel[1, 1, 1, 0, 0] = np.nan
    assert expected(problem, tile, kernel) <= whole


def test_the_planner_takes_a_smaller_tile_or_another_method_for_a_tap_in_the_corner():
    problem = Problem((40, 40, 40), (3, 4, 3), padding=((1, 1),) * 3, channels=32, filters=32)
    plan = choose(problem, ROOM, "winograd")
    assert plan.candidate.error <= 1e-5 < plan.candidate.at_worst
    assert plan.undecided
    rng = np.random.default_rng(0)
    x, corner = rng.standard_normal(problem.input_shape).astype("f4"), one_tap(problem, (0, 0, 2), rng)
    taken = settle(plan, x, corner)
    assert np.prod(taken.candidate.tile) < np.prod(plan.candidate.tile)
    assert taken.candidate.error <= 1e-5
    assert choose(problem, ROOM, "winograd", kernel=corner).candidate == taken.candidate
    wide = replace(problem, kernel=(5, 5, 5))
    with pytest.raises(MethodError, match="winograd: less accurate than asked with this kernel"):
        choose(wide, ROOM, "winograd", kernel=one_tap(wide, (0, 0, 4), rng))
    assert settle(choose(wide, ROOM), x, one_tap(wide, (0, 0, 4), rng)).method == "direct"


def test_memory_that_holds_a_tile_alone_is_told_to_be_too_little_for_what_keeps_the_accuracy():
    problem = Problem((40, 40, 40), (3, 4, 3), padding=((1, 1),) * 3, channels=32, filters=32)
    rng = np.random.default_rng(0)
    x, corner = rng.standard_normal(problem.input_shape).astype("f4"), one_tap(problem, (0, 0, 2), rng)
    with pytest.raises(OverLimit) as told:
        choose(problem, Limits(1, 1), "winograd", kernel=corner)
    needed = told.value.needed
    for memory in (needed, needed + (64 << 20)):
        plan = choose(problem, Limits(1, memory), "winograd", kernel=corner)
        assert plan.candidate.error <= 1e-5
        assert settle(plan, x, corner) is plan


@pytest.mark.parametrize("case", [c for c in GRID if c.channels // c.groups >= 4], ids=lambda c: c.name)
def test_random_kernels_of_the_benchmark_keep_the_tiles_of_their_shape(case):
    kernel = case.arrays()[1]
    for name in ACCURACIES:
        plan = choose(case.problem, ROOM, accuracy=name)
        if plan.method != "winograd" or "last" in case.name:
            continue
        assert choose(case.problem, ROOM, "winograd", name, kernel=kernel).candidate.tile == plan.candidate.tile


def test_what_is_expected_of_a_kernel_is_computed_once(monkeypatch):
    problem = Problem((24, 24, 24), (3, 3, 3), channels=8, filters=8)
    kernel = np.random.default_rng(5).standard_normal(problem.kernel_shape).astype("f4")
    counted = []
    monkeypatch.setattr(winograd, "error_of", lambda *given: counted.append(given) or error_of(*given))
    for _ in range(3):
        winograd.proven(problem, kernel.copy(), 1, ACCURACIES["default"], ROOM.memory)
    assert len(counted) == 1
