"""What the methods offer for a problem, and which of it may be taken: by accuracy, memory, boundary and name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from conv3d_cli.engine import pace
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.candidate import ACCURACIES, Candidate
from conv3d_cli.engine.edges import boundary_bytes
from conv3d_cli.engine.methods import BOUNDED, METHODS, Method
from conv3d_cli.engine.problem import Problem
from conv3d_cli.errors import MethodError, OverLimit
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.limits import Limits, size_words

ADDRESSABLE = 1 << 47
"""Bytes that a process can have at most: with blocks that fit in there, no method reckons beyond 64 bits."""


@frozen
class Request:
    """A problem and how it is to be served: ``method`` is a key of METHODS or "auto", ``without`` leaves some out."""

    problem: Problem
    limits: Limits
    method: str = "auto"
    accuracy: str = "default"
    without: tuple[str, ...] = ()

    def offers(self, kernel: Array | None) -> list[Candidate]:
        """Return what all methods offer, judged; ``kernel`` has its axes in memory order, and is None if not known."""
        return [candidate for row in METHODS.values() for candidate in self.offers_of(row, kernel)]

    def offers_of(self, row: Method, kernel: Array | None, proving: bool = False) -> Iterator[Candidate]:
        """Yield what one method offers, judged.

        With ``proving``, what the kernel proves the method to keep is asked for: as long as transforming it takes.
        """
        allowed, inner, threads = ACCURACIES[self.accuracy], self._inner, self.limits.threads
        tables = boundary_bytes(inner)
        room = self._memory - tables
        asked = row.proven if proving else row.offers
        if kernel is None or asked is None:
            offered = row.candidates(inner, threads, allowed, room)
        else:
            offered = asked(inner, kernel, threads, allowed, room)
        measured = pace.active(threads)
        for candidate in offered:
            if inner.bounded and candidate.way not in BOUNDED:
                yield refuse(candidate, f"does not know boundary {inner.boundary}")
            elif candidate.keeps(allowed):
                multiple = measured.of(pace.kind_of(candidate, inner))
                best = candidate.at_best and candidate.at_best * multiple
                taken = candidate.scratch_bytes + tables
                timed = replace(candidate, seconds=candidate.seconds * multiple, at_best=best, scratch_bytes=taken)
                yield self._judged(timed)
            else:
                yield refuse(candidate, f"less accurate than asked{' with this kernel' if proving else ''}")

    @cached_property
    def _inner(self) -> Problem:
        """The problem as every method is asked about it."""
        return self.problem.in_memory_order()

    @property
    def _memory(self) -> int:
        """Bytes that are left beside input and output."""
        return self.limits.memory - self.problem.input_bytes - self.problem.output_bytes

    def _judged(self, candidate: Candidate) -> Candidate:
        if self.method not in ("auto", candidate.method):
            return refuse(candidate, "another method was asked for")
        if candidate.unproven is not None and self.method != candidate.method:
            return refuse(candidate, candidate.unproven)
        if candidate.method in self.without:
            return refuse(candidate, "would spread the non-finite or huge values of this data")
        if candidate.scratch_bytes > self._memory:
            need, left = size_words(candidate.scratch_bytes), size_words(max(self._memory, 0))
            return refuse(candidate, f"needs {need} beside input and output, {left} are left")
        return candidate

    def why(self, open_ways: Sequence[Candidate], offered: Sequence[Candidate]) -> str:
        """Return why the first of the ways that are open is taken."""
        best = open_ways[0]
        if self.method != "auto":
            return f"{best.method} was asked for ({best.detail})"
        others = [c for c in open_ways[1:] if c.method != best.method]
        if not others:
            closed = next((f"; {c.method}: {c.refused}" for c in offered if c.refused and c.method != best.method), "")
            return f"{best.method} ({best.detail}) is the only method open{closed}"
        ratio = others[0].seconds / max(best.seconds, 1e-9)
        return f"{best.detail}: predicted {ratio:.1f}x as fast as {others[0].method}"

    @property
    def out_of_reach(self) -> bool:
        """Whether input and output are larger than any machine's memory."""
        return self.problem.input_bytes + self.problem.output_bytes > ADDRESSABLE

    def over(self, scratch: int) -> OverLimit:
        """Return the error that says how much memory it takes, so much of it beside input and output."""
        limits = self.limits
        need = scratch + limits.memory - self._memory
        return OverLimit(
            f"memory: not enough for this convolution: got {size_words(limits.memory)} ({limits.memory_source}), "
            f"expected at least {size_words(need)}",
            need,
        )

    def no_way(self, offered: Sequence[Candidate]) -> Exception:
        """Return the error that says why nothing of what is offered may be taken."""
        over = [c for c in offered if c.refused and "needs" in c.refused]
        if over:
            return self.over(min(c.scratch_bytes for c in over))
        asked = [c for c in offered if self.method in ("auto", c.method)]
        reasons = "; ".join(dict.fromkeys(f"{c.method}: {c.refused}" for c in asked))
        return MethodError(f"method {self.method!r}: cannot serve this convolution: {reasons}")


def refuse(candidate: Candidate, reason: str) -> Candidate:
    """Return a candidate that may not be taken, for the reason that it had first."""
    return candidate if candidate.refused else replace(candidate, refused=reason)
