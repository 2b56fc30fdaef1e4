"""What a method offers for a problem: its predicted time, memory and error, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from conv3d_cli.engine.problem import Real
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.shapes import Triple


@frozen
class Accuracy:
    """What error a user accepts: ``error`` relative to the largest output, and whether each voxel must hold it locally.

    ``local`` means that a voxel's error is bounded by the values in its own window, as a direct sum's is.
    """

    error: float
    local: bool
    meaning: str


ACCURACIES: dict[str, Accuracy] = {
    "strict": Accuracy(2e-6, True, "the error of a direct sum, at every voxel"),
    "default": Accuracy(1e-5, False, "at most 1e-5 of the largest value nearby (one tile)"),
    "fast": Accuracy(1e-4, False, "at most 1e-4 of the largest value nearby (one tile)"),
}


@frozen
class Candidate:
    """One way to serve a problem: seconds predicted, bytes needed beside input and output, error to expect.

    ``tile`` and ``transform`` are set by methods that work in tiles of a transform, ``native`` where compiled code does
    that, ``long`` where it takes one tile after the other, ``residual`` by one that takes a kernel for one that differs
    by so much, ``portion`` by one that leaves out or merges taps. ``refused`` says why this way is closed, if it is;
    ``unproven`` what the kernel's values have yet to show for it to be open, ``at_best`` the seconds that it takes if
    they are as good as can be, ``at_worst`` the error to expect if they suit it as little as can be, where the
    user does not accept that.
    """

    method: str
    seconds: float = 0.0
    scratch_bytes: int = 0
    error: float = 1e-6
    local: bool = True
    detail: str = ""
    tile: Triple | None = None
    transform: Real | None = None
    native: bool = False
    long: bool = False
    refused: str | None = None
    residual: float | None = None
    portion: float | None = None
    unproven: str | None = None
    at_best: float | None = None
    at_worst: float | None = None

    @property
    def settings(self) -> dict[str, Triple | Real | float | bool | None]:
        """What the method's ``run`` must be told beside the problem to go this way."""
        if self.residual is not None:
            return {"residual": self.residual}
        if self.portion is not None:
            return {"portion": self.portion}
        if self.tile is None:
            return {}
        tiles: dict[str, Triple | Real | float | bool | None] = {"tile": self.tile, "transform": self.transform}
        return {**tiles, "native": True, "long": self.long} if self.native else tiles

    @property
    def way(self) -> str:
        """The method, and which of its ways where it has several that differ in more than their tiles."""
        if self.method != "fft":
            return self.method
        return "fft scipy" if not self.native else "fft long" if self.long else "fft compiled"

    def keeps(self, accuracy: Accuracy) -> bool:
        """Return whether the error to expect is one that the user accepts."""
        return self.error <= accuracy.error and (self.local or not accuracy.local)


def ranked(ways: Iterable[Candidate], memory: int) -> tuple[Candidate, ...]:
    """Return ways as they are to be taken: those that fit in so many bytes by time, then the others by memory.

    >>> slow, large = Candidate("fft", seconds=2.0), Candidate("fft", seconds=1.0, scratch_bytes=9)
    >>> ranked((slow, large), memory=9) == (large, slow), ranked((large, slow), memory=8) == (slow, large)
    (True, True)
    """
    return tuple(
        sorted(ways, key=lambda way: (0, way.seconds) if way.scratch_bytes <= memory else (1, way.scratch_bytes))
    )


def first_proven(
    ways: Iterable[Candidate], expected: Callable[[Candidate], float], accuracy: Accuracy
) -> Candidate | None:
    """Return the first way that keeps the accuracy by the error that ``expected`` tells of it, else the most accurate.

    It has that error. None where there are no ways.
    """
    seen: list[Candidate] = []
    for way in ways:
        seen.append(replace(way, error=expected(way), at_worst=None))
        if seen[-1].keeps(accuracy):
            return seen[-1]
    return min(seen, key=lambda way: way.error, default=None)
