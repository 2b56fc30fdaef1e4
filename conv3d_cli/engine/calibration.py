"""A calibration: every way of the engine does small convolutions, and its times are set against the predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from statistics import geometric_mean

import numpy as np

from conv3d_cli.engine import isa
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.candidate import ACCURACIES, Candidate
from conv3d_cli.engine.methods import METHODS, Method
from conv3d_cli.engine.pace import SLOWEST, Pace, kind_of
from conv3d_cli.engine.problem import Problem

SECONDS = 1.0
"""How long a calibration may take, about."""

ROUNDS = 2
"""Calls of a way for each problem, of which the faster counts: the first has the kernel to prepare."""

SLOW = 0.03
"""Predicted seconds above which a way is left out of a problem."""

MEMORY = 1 << 30


def _cube(size: int, kernel: int, channels: int = 1, filters: int = 1) -> Problem:
    pad = (kernel // 2, (kernel - 1) // 2)
    return Problem((size,) * 3, (kernel,) * 3, padding=(pad,) * 3, channels=channels, filters=filters)


PROBES = (
    _cube(96, 3),
    _cube(32, 3, channels=16, filters=16),
    _cube(64, 7),
    _cube(48, 1, channels=16, filters=32),
    _cube(32, 5, channels=8, filters=8),
    _cube(64, 3, filters=8),
    _cube(48, 17),
    _cube(48, 3, channels=8, filters=8),
)
"""The problems, those that the most kinds of work depend on first."""


def calibrate(threads: int, seconds: float = SECONDS) -> Pace:
    """Return the pace of this machine with so many threads, measured now; it takes about ``seconds``.

    A kind of work that no problem reaches in time keeps the shipped constants.
    """
    end = time.perf_counter() + seconds
    found: dict[str, list[float]] = {}
    for problem in PROBES:
        x, kernel = _arrays(problem)
        out = np.empty(problem.output_shape, problem.dtype)
        for row, candidate in _ways(problem, kernel, threads):
            if time.perf_counter() < end:
                took = min(_timed(row, candidate, problem, x, kernel, out, threads) for _ in range(ROUNDS))
                found.setdefault(kind_of(candidate, problem), []).append(took / candidate.seconds)
    multiples = {kind: min(max(geometric_mean(ratios), 1 / SLOWEST), SLOWEST) for kind, ratios in found.items()}
    return Pace(tuple(sorted(multiples.items())), date.today().isoformat())


def _arrays(problem: Problem) -> tuple[Array, Array]:
    """Return an input, and a kernel that is an outer product where one channel allows it: any method serves it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(problem.input_shape, np.float32)
    if problem.channels > 1:
        return x, rng.standard_normal(problem.kernel_shape, np.float32)
    a, b, c = (rng.standard_normal(n, np.float32) for n in problem.kernel)
    outer = np.einsum("i,j,k->ijk", a, b, c)[..., None, None]
    return x, np.ascontiguousarray(np.broadcast_to(outer, problem.kernel_shape))


def _ways(problem: Problem, kernel: Array, threads: int) -> Iterator[tuple[Method, Candidate]]:
    """Yield the ways open to a problem, the fastest of each kind; the reference only where it is the only one."""
    for row in METHODS.values():
        if row.name == "reference" and isa.native() is not None:
            continue
        best: dict[str, Candidate] = {}
        offers = (
            row.candidates(problem, threads, ACCURACIES["default"], MEMORY)
            if row.offers is None
            else row.offers(problem, kernel, threads, ACCURACIES["default"], MEMORY)
        )
        for candidate in offers:
            known = best.get(candidate.way)
            if candidate.refused is None and candidate.seconds < min(SLOW, known.seconds if known else SLOW):
                best[candidate.way] = candidate
        yield from ((row, candidate) for candidate in best.values())


def _timed(
    row: Method, candidate: Candidate, problem: Problem, x: Array, kernel: Array, out: Array, threads: int
) -> float:
    start = time.perf_counter()
    row.run(problem, x, kernel, None, out, threads=threads, **candidate.settings)
    return time.perf_counter() - start
