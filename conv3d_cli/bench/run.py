"""One case measured: every method of the engine and every peer in turns, each result checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from conv3d_cli.bench.cases import Case
from conv3d_cli.bench.document import case_row
from conv3d_cli.bench.machine import Machine
from conv3d_cli.bench.memory import peak_beside
from conv3d_cli.bench.ours import Way, ways_of
from conv3d_cli.bench.peers import PEERS, Peer
from conv3d_cli.bench.truth import Truth, truth_of
from conv3d_cli.bench.turns import PAUSE, Wrong, take_turns
from conv3d_cli.engine import ACCURACIES, Limits
from conv3d_cli.engine.blocks import Array
from conv3d_cli.errors import Conv3dError
from conv3d_cli.frozen import field, frozen, replace
from conv3d_cli.shapes import voxels

MANY = 250_000_000
"""Multiply-adds from which on a direct sum of another library is tried on a small volume first."""

TRIAL = 30_000_000
"""Multiply-adds of that volume, about."""

SMALL = (8, 32)
"""Voxels along an axis of it, at least and at most."""

BRIEF = 0.2  # seconds


@frozen
class Settings:
    """How long to measure.

    ``rounds`` calls of each way at most, about ``budget`` seconds for each, and no peer that is expected to take over
    ``longest`` seconds a call. ``libraries`` are the peers' libraries to measure, ``memory`` says whether to measure
    what the engine takes, in a process of its own.
    """

    limits: Limits
    rounds: int = 5
    budget: float = 0.4
    longest: float = 2.0
    libraries: frozenset[str] = field(default_factory=frozenset)
    memory: bool = False


def measure_case(case: Case, machine: Machine, settings: Settings) -> dict[str, Any]:
    """Return the row of a case, as ``bench_schema`` describes it.

    Raises OverLimit if the case does not fit into memory, Conv3dError if a result of the engine is wrong.
    """
    threads = settings.limits.threads
    x, kernel = case.arrays()
    truth = truth_of(case, x, kernel)
    chosen, ways, left_out = ways_of(case, x, kernel, settings.limits)
    peers, no_peers = _peers(case, x, kernel, settings)
    calls = {**{name: way.call for name, way in ways.items()}, **peers}
    times, failed = take_turns(
        calls,
        lambda name, result: _judged(case, name, result, truth, ways),
        settings.rounds,
        settings.budget,
        lambda name: 0.0 if name in ways else PAUSE,
    )
    for name, error in failed.items():
        if name in ways:
            raise error
        no_peers[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    peak = peak_beside(case.name, threads) if settings.memory else None
    return case_row(case, machine, threads, chosen, ways, times, {**left_out, **no_peers}, peak)


def _judged(case: Case, name: str, result: Array, truth: Truth, ways: dict[str, Way]) -> float:
    """Return the error of a result; one of the engine's that is wrong ends the measurement."""
    ours = name in ways
    edges, allowed = (True, 2 * ACCURACIES["default"].error) if ours else (PEERS[name].edges, PEERS[name].error)
    error = truth.error(result, edges)
    if error <= allowed:
        return error
    if ours:
        raise Conv3dError(f"{case.name}: method {name!r} is wrong: error {error:.3g}, expected at most {allowed:.3g}")
    raise Wrong(f"its result is off by {error:.3g} of the largest value")


def _peers(
    case: Case, x: Array, kernel: Array, settings: Settings
) -> tuple[dict[str, Callable[[], Array]], dict[str, str]]:
    """Return the calls of the peers that do the case, by name, and why others that would are left out."""
    calls: dict[str, Callable[[], Array]] = {}
    closed: dict[str, str] = {}
    for name, peer in PEERS.items():
        if peer.library in settings.libraries:
            try:
                call = _prepared(peer, case, x, kernel, settings)
            except Exception as error:  # whatever another library may raise
                closed[name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            if isinstance(call, str):
                closed[name] = call
            elif call is not None:
                calls[name] = call
    return calls, closed


def _prepared(peer: Peer, case: Case, x: Array, kernel: Array, settings: Settings) -> Callable[[], Array] | str | None:
    """Return a peer's call, or why it is left out, or None where the case is not its own."""
    if peer.direct and case.problem.multiply_adds > MANY:
        seconds = _expected(peer, case, settings.limits.threads)
        if seconds > settings.longest:
            return f"expected to take {seconds:.0f} s a call, by that of a small volume"
    return peer.prepare(case, x, kernel, settings.limits.threads)


def _expected(peer: Peer, case: Case, threads: int) -> float:
    """Return the seconds that a call of a direct sum should take, by one of a small volume."""
    each = case.problem.multiply_adds / voxels(case.problem.output_size)
    side = min(max(round((TRIAL / each) ** (1 / 3)), SMALL[0]), SMALL[1])
    d, h, w = (min(n, side) for n in case.size)
    small = replace(case, size=(d, h, w))
    call = peer.prepare(small, *small.arrays(), threads)
    if call is None:
        return 0.0
    seconds = _timed(call)
    if seconds < BRIEF:  # where a first call takes longer, warming up is not what takes it
        seconds = _timed(call)
    return seconds * case.problem.multiply_adds / small.problem.multiply_adds


def _timed(call: Callable[[], Array]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
