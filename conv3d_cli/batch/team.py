"""What a schedule asks of those who do the work, be they processes of this machine or workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from conv3d_cli.batch.perform import Job
from conv3d_cli.errors import Conv3dError
from conv3d_cli.frozen import frozen

SIGNALLED = 128
"""What is added to a signal's number for an exit code, and the code where no signal is known."""


@frozen
class End:
    """How a worker ended, as the rest of a sentence, the exit code for it, and whether another may fare better."""

    words: str
    code: int
    may_pass: bool = False


class TeamLost(Conv3dError):  # noqa: N818 - what has become of it
    """Nobody is left to do the work, nor will be."""


class Worker(Protocol):
    """Who does one job at a time; ``number`` counts from 0, ``peak_bytes`` is what the job has said it needs.

    Workers of one ``host`` share its ``memory``, in bytes; None is what the rules of the batch say.
    """

    number: int
    job: Job | None
    peak_bytes: int
    host: str
    memory: int | None

    def send(self, message: Any) -> None:
        """Send a job, or the word that it may begin."""


class Team(Protocol):
    """Workers; they may come and go. Each does its jobs with so many ``threads``.

    ``memory`` is the least that a host of them has, or None if it is this machine.
    """

    size: int
    threads: int
    memory: int | None

    @property
    def workers(self) -> Sequence[Worker]:
        """Those who are there."""

    def idle(self) -> Iterable[Worker]:
        """Return the workers that have nothing to do."""

    def messages(self, seconds: float | None) -> Iterator[tuple[Worker, tuple[Any, ...] | End]]:
        """Yield what workers say within so many seconds, and the end of one that has ended. May raise TeamLost."""
