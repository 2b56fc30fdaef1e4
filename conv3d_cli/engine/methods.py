"""The methods of the engine, in one table: what a new method must bring is a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conv3d_cli.engine import direct, fft, isa, reference
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.problem import Problem

if TYPE_CHECKING:
    from conv3d_cli.engine.plan import Plan

Tick = Callable[[float], None]


@dataclass(frozen=True)
class Method:
    """One way to convolve.

    ``candidates(problem, threads, accuracy, memory)`` offers plans, ``run(plan, x, kernel, bias, out, tick)`` carries
    one out, and ``unsuitable(plan, x, kernel)`` returns why the values themselves, once they are known, rule it out.
    """

    name: str
    summary: str
    candidates: Callable[[Problem, int, Accuracy, int], list[Candidate]]
    run: Callable[[Plan, Array, Array, Array | None, Array, Tick | None], None]
    unsuitable: Callable[[Plan, Array, Array], str | None] = lambda plan, x, kernel: None


def _direct_candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    if isa.active() == isa.NUMPY:
        return [Candidate("direct", refused=f"no compiled kernel: {isa.why_missing()}")]
    return [
        Candidate(
            "direct",
            seconds=direct.seconds(problem, threads),
            scratch_bytes=direct.scratch_bytes(problem, threads),
            detail=f"register tiles, {isa.active()}",
        )
    ]


def _direct(plan: Plan, x: Array, kernel: Array, bias: Array | None, out: Array, tick: Tick | None) -> None:
    direct.run(plan.problem, x, kernel, bias, out, threads=plan.threads, tick=tick)


def _fft(plan: Plan, x: Array, kernel: Array, bias: Array | None, out: Array, tick: Tick | None) -> None:
    assert plan.candidate.tile is not None
    assert plan.candidate.transform is not None
    tile, transform = plan.candidate.tile, plan.candidate.transform
    fft.run(plan.problem, x, kernel, bias, out, tile=tile, transform=transform, threads=plan.threads, tick=tick)


def _reference(plan: Plan, x: Array, kernel: Array, bias: Array | None, out: Array, tick: Tick | None) -> None:
    reference.run(plan.problem, x, kernel, bias, out, threads=plan.threads, tick=tick)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("direct", "compiled sum over kernel taps, in register tiles", _direct_candidates, _direct),
        Method(
            "fft",
            "overlap-save tiles or one whole transform, through scipy.fft",
            fft.candidates,
            _fft,
            fft.unsuitable,
        ),
        Method("reference", "NumPy sum over kernel taps in float64", reference.candidates, _reference),
    )
}
