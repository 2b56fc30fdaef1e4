"""A part of the fuzz; ``python tests/fuzz.py`` runs as much of it as one likes."""

from __future__ import annotations

import fuzz
import fuzz_ways
import numpy as np
import pytest
from fuzz_bounds import Exact, same_outside
from fuzz_problems import STORAGES, random_case
from support import compiled

from conv3d_cli.engine import METHODS, isa

COUNT, PART = 200, 50


@pytest.mark.parametrize("seed", range(0, COUNT, PART))
def test_a_part_of_the_fuzz(seed):
    tally = fuzz.run(seed, PART)
    assert not tally.failures, "\n".join(tally.failures)
    assert tally.problems == PART
    for method in METHODS if isa.native() is not None else ("fft", "reference"):
        assert sum(tally.runs[method, name] for name in fuzz.ISAS) > 0, f"{method} never ran"


def test_tiles_of_float64_may_lose_digits_where_the_output_is_zero():
    tally = fuzz.run(301272, 1)
    assert not tally.failures, "\n".join(tally.failures)


@pytest.mark.parametrize("seed", [504229, 511416, 517440])
def test_memory_that_just_holds_a_plan_holds_it_once_the_kernel_is_known(seed):
    """A kernel of few taps has a layout of its own, which may take more memory than that of all taps."""
    tally = fuzz.run(seed, 1)
    assert not tally.failures, "\n".join(tally.failures)


def test_a_tap_at_the_end_of_an_axis_loses_no_more_than_its_tiles_promise():
    tally = fuzz.run(509820, 1)
    assert not tally.failures, "\n".join(tally.failures)


@compiled
def test_small_products_are_not_lost_beside_a_large_bias():
    tally = fuzz.run(7008637, 1)
    assert not tally.failures, "\n".join(tally.failures)


def test_more_memory_may_lead_to_another_method_and_other_bits():
    tally = fuzz.run(8000933, 1)
    assert not tally.failures, "\n".join(tally.failures)


def test_problems_are_the_same_for_the_same_number_and_vary():
    cases = [random_case(seed) for seed in range(400)]
    for seed in (0, 17):
        again = random_case(seed)
        assert (again.problem, again.kinds) == (cases[seed].problem, cases[seed].kinds)
        assert again.x.tobytes() == cases[seed].x.tobytes()
    problems = [case.problem for case in cases]
    assert {1, 2, 3, 5, 17} <= {k for problem in problems for k in problem.kernel}
    assert set(range(1, 30)) <= {n for problem in problems for n in problem.size}
    assert {case.target for case in cases} == set(STORAGES)
    for name in ("groups", "batch", "strides", "dilation", "dtype", "order", "boundary"):
        assert len({getattr(problem, name) for problem in problems}) > 1


def test_the_knobs_are_those_of_the_engine_and_turn_back():
    """A knob that was renamed would turn nothing."""
    found = {name for _, name in fuzz_ways.knobs()}
    assert found == set(fuzz_ways.KNOBS)
    assert len(fuzz_ways.tables()) >= 4
    before = [vars(module)[name] for module, name in fuzz_ways.knobs()], [dict(t) for t in fuzz_ways.tables()]
    with fuzz_ways.turned(np.random.default_rng(0)):
        assert [vars(module)[name] for module, name in fuzz_ways.knobs()] != before[0]
        assert [dict(t) for t in fuzz_ways.tables()] != before[1]
    assert ([vars(module)[name] for module, name in fuzz_ways.knobs()], fuzz_ways.tables()) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_output_is_told_with_its_number(method, monkeypatch):
    """Each method in turn loses what its last output voxel has; other methods stay right."""

    def spoiled(problem, x, kernel, bias, out, **more):
        kept(problem, x, kernel, bias, out, **more)
        out[-1, -1, -1, -1, -1] += np.abs(out[np.isfinite(out)]).max(initial=0) * 0.25 + 1

    row, kept = METHODS[method], METHODS[method].run
    monkeypatch.setitem(METHODS, method, type(row)(**{**vars(row), "run": spoiled}))
    for seed in range(80):
        failures = fuzz.run(seed, 1).failures
        assert not [line for line in failures if f": {method} " not in line and ": auto " not in line]
        if failures:
            assert f"python tests/fuzz.py --seed {seed} --count 1: " in failures[0]
            return
    assert isa.native() is None
    assert method not in ("fft", "reference")


def test_what_lies_around_an_output_is_looked_at():
    for storage in STORAGES.values():
        assert same_outside(storage((1, 2, 3, 4, 5), "f4"), storage((1, 2, 3, 4, 5), "f4"))
    around = STORAGES["inside_a_larger_array"]((1, 2, 3, 4, 5), "f4")
    around.base[0, 0, 0, 0, 0] = 7
    assert not same_outside(around, STORAGES["inside_a_larger_array"]((1, 2, 3, 4, 5), "f4"))


def test_a_bound_is_a_bound_of_the_oracle_itself():
    """The exact result rounded to the problem's precision lies well inside, the same with one tap off lies outside."""
    for seed in range(60):
        case = random_case(seed)
        exact = Exact(case)
        if not exact.want.size or "normal kernel, normal" not in case.kinds:
            continue
        way = fuzz_ways.offered(case.problem, case.kernel, "reference", 1, np.random.default_rng(0))[0].candidate
        with np.errstate(all="ignore"):
            right = exact.want.astype(case.problem.dtype)
        assert exact.excess(way, right)[0] < 0.5
        assert exact.excess(way, right * np.asarray(1 + 1e-3, right.dtype))[1]
