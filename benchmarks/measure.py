"""Times of one case: all runners in turn, round after round, each result checked."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.cases import Case
from benchmarks.runners import RUNNERS, Call

PAUSE = 0.03  # seconds in which the threads that a peer leaves spinning go to sleep
SAMPLES = 200
TOLERANCE = 2e-6  # of the sum of absolute products, at each sampled voxel


def measure(case: Case, threads: int, names: list[str], rounds: int, budget: float) -> dict[str, list[float]]:
    """Return the seconds of each call by runner; one is not called again once it has used its budget."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(case.problem.input_shape, dtype=np.float32)
    kernel = rng.standard_normal(case.problem.kernel_shape, dtype=np.float32)
    calls: dict[str, Call] = {}
    for runner in RUNNERS:
        if runner.name in names:
            call = runner.prepare(case, x, kernel, threads)
            if call is not None:
                calls[runner.name] = call
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        check(case, x, kernel, name, call())
    for _ in range(rounds):
        for name, call in calls.items():
            if len(times[name]) >= 2 and sum(times[name]) > budget:
                continue
            time.sleep(PAUSE)
            start = time.perf_counter()
            result = call()
            times[name].append(time.perf_counter() - start)
            check(case, x, kernel, name, result)
    return times


def check(case: Case, x: np.ndarray, kernel: np.ndarray, name: str, result: np.ndarray) -> None:
    """Raise AssertionError unless randomly chosen voxels are what the definition says, in float64."""
    problem = case.problem
    assert result.shape == problem.output_shape, f"{name}: shape {result.shape} for {case.name}"
    rng = np.random.default_rng(1)
    filters = case.filters // case.groups
    channels = case.channels // case.groups
    tap = np.arange(case.kernel) * case.dilation
    for _ in range(SAMPLES):
        f, *o = (int(rng.integers(n)) for n in problem.output_shape[1:])
        at = [p * case.stride - pads[0] + tap for p, pads in zip(o, problem.padding, strict=True)]
        inside = [(a >= 0) & (a < case.size) for a in at]
        group = slice(f // filters * channels, (f // filters + 1) * channels)
        seen = x[0, group][np.ix_(range(channels), *[a[i] for a, i in zip(at, inside, strict=True)])]
        products = np.moveaxis(seen, 0, -1).astype(np.float64) * kernel[np.ix_(*inside)][..., f]
        error = abs(float(result[(0, f, *o)]) - products.sum())
        assert error <= TOLERANCE * abs(products).sum(), f"{name}: wrong at {(f, *o)} of {case.name}: off by {error}"
