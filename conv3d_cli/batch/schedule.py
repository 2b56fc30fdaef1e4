"""Jobs to workers, as memory allows; errors, retries, and what became of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from conv3d_cli.batch import messages
from conv3d_cli.batch.perform import Job
from conv3d_cli.batch.records import FAILED, Record, files_there, was_started, write_record
from conv3d_cli.batch.team import SIGNALLED, End, Team, TeamLost, Worker
from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.frozen import field, frozen, mutable, replace

PAUSE = 0.5
"""Seconds before the first retry; each further one waits twice as long."""


@frozen
class Rules:
    """How a batch is carried out: bytes that all jobs here may take together, retries, whether a failure ends it."""

    memory: int
    retries: int = 2
    fail_fast: bool = False


@frozen
class Outcome:
    """What became of a job: figures if it is done, else an error, the exit code it stands for, and its tries."""

    job: Job
    figures: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    code: int = 0


class Listener(Protocol):
    """Who is told how a batch goes on; ``worker`` counts the workers from 0."""

    def started(self, worker: int, job: Job) -> None:
        """Hear that a worker has got a job."""

    def planned(self, worker: int, seconds: float) -> None:
        """Hear that its work begins, and how long that should take."""

    def ticked(self, worker: int, share: float) -> None:
        """Hear what share of it is done."""

    def noted(self, job: Job, level: int, text: str) -> None:
        """Hear a warning or a note."""

    def retried(self, job: Job, error: str) -> None:
        """Hear that a job failed, and is tried again."""

    def finished(self, worker: int, outcome: Outcome) -> None:
        """Hear what became of it."""


def carry_out(jobs: Iterable[Job], team: Team, rules: Rules, listener: Listener) -> list[Outcome]:
    """Do all jobs, and return what became of each that was begun; with ``fail_fast`` none begins after a failure."""
    return _Run(team, rules, listener, deque(jobs)).outcomes()


@mutable
class _Run:
    team: Team
    rules: Rules
    listener: Listener
    queue: deque[Job]
    later: list[tuple[float, Job]] = field(default_factory=list)
    waiting: deque[Worker] = field(default_factory=deque)
    done: list[Outcome] = field(default_factory=list)

    def outcomes(self) -> list[Outcome]:
        try:
            self._work()
        except TeamLost as error:
            self._give_up(str(error))
        return self.done

    def _work(self) -> None:
        while self._unfinished():
            self._feed()
            for worker, message in self.team.messages(self._patience()):
                self._hear(worker, message)
            self._admit()

    def _give_up(self, error: str) -> None:
        """Fail all that is not done, as nobody will do it."""
        begun = [(worker.number, worker.job) for worker in self.team.workers if worker.job is not None]
        for number, job in (*begun, *((0, job) for job in self.queue), *((0, job) for _, job in self.later)):
            self._settle(number, Outcome(job, {}, f"{quoted(job.item.source)}: {error}", SIGNALLED))

    def _unfinished(self) -> bool:
        busy = any(worker.job is not None for worker in self.team.workers)
        return busy or (bool(self.queue or self.later) and not self._over())

    def _over(self) -> bool:
        return self.rules.fail_fast and any(outcome.error is not None for outcome in self.done)

    def _patience(self) -> float | None:
        """Return the seconds until a retry is due."""
        return max(0.0, min(due for due, _ in self.later) - monotonic()) if self.later else None

    def _feed(self) -> None:
        """Give idle workers what is due."""
        if self._over():
            return
        due = [entry for entry in self.later if entry[0] <= monotonic()]
        self.later = [entry for entry in self.later if entry not in due]
        self.queue.extendleft(job for _, job in due)
        for worker in self.team.idle():
            if self.queue:
                worker.job, worker.peak_bytes = self.queue.popleft(), 0
                worker.send(worker.job)
                self.listener.started(worker.number, worker.job)

    def _hear(self, worker: Worker, message: tuple[Any, ...] | End) -> None:
        job = worker.job
        if isinstance(message, End):
            if job is not None:
                words = f"{quoted(job.item.source)}: its worker {message.words}"
                self._failed(worker, job, message.code, words, message.may_pass)
            return
        assert job is not None
        kind, *rest = message
        if kind == messages.PLANNED:
            worker.peak_bytes = rest[0]
            self.waiting.append(worker)
            self.listener.planned(worker.number, rest[1])
        elif kind == messages.TICK:
            self.listener.ticked(worker.number, rest[0])
        elif kind == messages.NOTE:
            self.listener.noted(job, *rest)
        elif kind == messages.DONE:
            self._free(worker)
            self._settle(worker.number, Outcome(job, *rest))
        else:
            self._failed(worker, job, *rest)

    def _failed(self, worker: Worker, job: Job, code: int, error: str, transient: bool) -> None:
        self._free(worker)
        if transient and job.attempt <= self.rules.retries:
            due = monotonic() + PAUSE * 2 ** (job.attempt - 1)
            self.later.append((due, _again(job)))
            self.listener.retried(job, error)
        else:
            self._settle(worker.number, Outcome(job, {}, error, code))

    def _free(self, worker: Worker) -> None:
        worker.job = None
        if worker in self.waiting:
            self.waiting.remove(worker)

    def _settle(self, worker: int, outcome: Outcome) -> None:
        """Note what became of a worker's job; a failure is recorded here, as a worker may not have lived to do it."""
        if outcome.error is not None:
            job = outcome.job
            left = bool(files_there(job.item)) and (job.overwrite or was_started(job.folder, job.item.name))
            record = Record(FAILED, job.item.source, job.made_from, None, None, outcome.error, outcome.code, left)
            with suppress(OutputError):  # the failure is told of anyway, and without a record the item runs again
                write_record(job.folder, job.item.name, record)
        self.done.append(outcome)
        self.listener.finished(worker, outcome)

    def _admit(self) -> None:
        """Let those work that have planned, in their order, as long as all of a host fit into its memory together.

        One that fits only alone waits until it is alone: what comes after it does not overtake it for ever.
        """
        held: set[str] = set()
        for first in list(self.waiting):
            working = [one for one in self.team.workers if one.job is not None and one not in self.waiting]
            needs = [one.peak_bytes for one in working if one.host == first.host and one.peak_bytes]
            memory = self.rules.memory if first.memory is None else first.memory
            if first.host in held or (needs and sum(needs) + first.peak_bytes > memory):
                held.add(first.host)
                continue
            self.waiting.remove(first)
            first.send(messages.GO)


def _again(job: Job) -> Job:
    """Return the next try of a job, which may replace what this one has left."""
    left = job.overwrite or was_started(job.folder, job.item.name)
    return replace(job, attempt=job.attempt + 1, overwrite=left)
