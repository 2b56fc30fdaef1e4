"""What a candidate promises is what is measured: every method, every tile that it offers, each accuracy, 32 channels.

The error is relative to the largest output, against float64, for random data of one scale.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from fuzz_bounds import DOUBLE
from fuzz_ways import offered, turned
from oracle import oracle
from ways import USABLE

from conv3d_cli.engine import METHODS, Problem, execute, isa

CUBES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16)
LONG = ((31, 3, 2), (2, 31, 4), (3, 2, 31), (1, 24, 24), (21, 1, 5), (1, 1, 9))
PROBLEMS = [
    *(Problem((k + 7,) * 3, (k,) * 3, channels=32, filters=2) for k in CUBES),
    *(Problem(tuple(n + 7 for n in k), k, channels=32, filters=2) for k in LONG),
    Problem((15, 16, 17), (3, 3, 3), (2, 2, 2), channels=32, filters=3),
    Problem((15, 16, 17), (5, 4, 3), (1, 2, 1), channels=32, filters=3),
    Problem((17, 16, 15), (3, 3, 3), dilation=(2, 2, 2), channels=32, filters=3),
    Problem((17, 16, 25), (5, 3, 7), dilation=(1, 2, 3), channels=32, filters=3),
    *(Problem((k + 7,) * 3, (k,) * 3, channels=32, filters=2, dtype="float64") for k in (3, 5)),
    *(Problem((k + 7,) * 3, (k,) * 3, channels=2, filters=2) for k in (3, 7, 15)),
]
SEEDS, LARGEST_TILE = 12, 32**3
ORACLE = 5e-16
"""What the oracle itself is off by, a sum of some hundred terms in float64: as much as a method that computes in it."""
METHODS_HERE = tuple(METHODS) if isa.native() is not None else USABLE


def kernels(problem: Problem, rng):
    """Yield kernels of one scale: random ones, and for few channels such as are one product or two."""
    yield rng.standard_normal(problem.kernel_shape).astype(problem.dtype)
    for terms in (1, 2) if problem.channels < 3 else ():
        lines = [rng.standard_normal((terms, n, *problem.kernel_shape[3:])) for n in problem.kernel]
        yield np.einsum("ticf,tjcf,tkcf->ijkcf", *lines).astype(problem.dtype)


def every_way(problem: Problem, kernel, method: str):
    """Return what a method offers, and where it has tiles those that it would offer larger volumes at other costs."""
    found = {}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        larger = replace(problem, size=tuple(int(n * rng.uniform(1, 4)) for n in problem.size)) if seed else problem
        with turned(rng):
            plans = offered(larger, kernel, method, int(rng.choice([1, 4])), rng)
        for plan in plans:
            if prod(plan.candidate.tile or (1,)) <= LARGEST_TILE or not seed:
                found[repr(plan.candidate.settings)] = replace(plan, problem=problem, asked=problem)
        if all(plan.candidate.tile is None for plan in plans):
            break
    return found.values()


def promised(plan) -> float:
    return min(plan.candidate.error, DOUBLE) + ORACLE if plan.problem.dtype == "float64" else plan.candidate.error


@pytest.mark.parametrize(
    "problem", PROBLEMS, ids=lambda p: f"{p.kernel}-{p.strides}-{p.dilation}-{p.channels}-{p.dtype}"
)
def test_the_error_is_what_a_candidate_promises(problem):
    rng = np.random.default_rng(prod(problem.kernel))
    x = rng.standard_normal(problem.input_shape).astype(problem.dtype)
    for kernel in kernels(problem, rng):
        want, _ = oracle(x, kernel, None, problem.strides, problem.padding, problem.dilation)
        for method in METHODS_HERE:
            for plan in every_way(problem, kernel, method):
                error = np.abs(execute(plan, x, kernel, None) - want).max() / np.abs(want).max()
                told = f"{method}, {plan.candidate.detail}: {error:.2g}, promised {plan.candidate.error:.2g}"
                assert error <= promised(plan), told


@pytest.mark.parametrize("method", METHODS_HERE)
def test_every_method_is_measured(method):
    boxes = ((problem, np.ones(problem.kernel_shape, problem.dtype)) for problem in PROBLEMS)
    assert any(offered(problem, box, method, 1, np.random.default_rng(0)) for problem, box in boxes)
