"""Workers of a Dask cluster as a team: which of them can work, what they get, what they say, and which are lost."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from conv3d_cli.batch import outpost
from conv3d_cli.batch.crew import written_by
from conv3d_cli.batch.greeting import greeted
from conv3d_cli.batch.lock import vacated
from conv3d_cli.batch.outpost import Setting, Welcome
from conv3d_cli.batch.perform import Job
from conv3d_cli.batch.team import SIGNALLED, End, TeamLost
from conv3d_cli.errors import UsageError
from conv3d_cli.outfile import remove_leftovers

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_SECONDS = 0.5
"""How often to see which workers there are."""

GOODBYE_SECONDS = 8.0
"""How long those that still work when a batch ends have to clean up."""

GAVE_UP = "gave up"


class DaskWorker:
    """A worker of the cluster, and the job that it has."""

    def __init__(self, number: int, address: str, welcome: Welcome, crew: DaskCrew) -> None:
        self.number, self.address, self.welcome, self._crew = number, address, welcome, crew
        self.host = welcome.host
        self.memory: int | None = welcome.memory
        self.job: Job | None = None
        self.peak_bytes = 0
        self.key = ""
        self.future: Future | None = None

    def send(self, message: Any) -> None:
        """Send a job, or the word that it may begin."""
        if isinstance(message, Job):
            self._crew.submit(self, message)
        else:
            self._crew.later(outpost.begin, self._crew.setting.name, self.key, workers=[self.address])


class DaskCrew:
    """At most ``size`` workers of a cluster at a time, which may come and go; as a context manager it leaves them.

    ``connected`` gives a client of the cluster. There have to be some workers within ``patience`` seconds, and again
    when all are lost; None waits for ever. ``tell`` hears of what a person should know. Each works with so many
    ``threads``, by default with what the cluster gives a worker.

    Raises UsageError if the cluster cannot be used, TeamLost if it is lost later.
    """

    def __init__(
        self,
        connected: AbstractContextManager[Client],
        setting: Setting,
        size: int | None,
        threads: int | None,
        patience: float | None,
        tell: Callable[[str], None],
    ) -> None:
        self._connected, self.setting, self.patience, self._tell = connected, setting, patience, tell
        self._limit = size
        self.size, self.threads = size or 0, threads or 0
        self.memory: int | None = None
        self.workers: list[DaskWorker] = []
        self._heard: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._refused: set[str] = set()
        self._looked = self._alone = -1e9
        self._stack = ExitStack()

    def __enter__(self) -> DaskCrew:
        with ExitStack() as stack:
            self.client = stack.enter_context(self._connected)
            self._errands = ThreadPoolExecutor(1)
            stack.callback(self._errands.shutdown, wait=False, cancel_futures=True)
            self.client.subscribe_topic(self.setting.name, lambda event: self._heard.put(tuple(json.loads(event[1]))))
            stack.callback(self._leave)
            self._await_some()
            self._stack = stack.pop_all()
        self.size = max(self.size, len(self.workers))
        self.threads = self.threads or min(worker.welcome.threads for worker in self.workers)
        self.memory = min(worker.welcome.memory for worker in self.workers)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stack.close()

    def idle(self) -> list[DaskWorker]:
        """Return the workers that have nothing to do."""
        return [worker for worker in self.workers if worker.job is None]

    def messages(self, seconds: float | None) -> Iterator[tuple[DaskWorker, tuple[Any, ...] | End]]:
        """Yield what workers say within so many seconds, and the end of one that has ended or is lost."""
        for worker in self._lost():
            yield worker, self._forgotten(worker, End("was lost", SIGNALLED, may_pass=True))
        patience = LOOK_SECONDS if seconds is None else min(seconds, LOOK_SECONDS)
        with suppress(Empty):
            said = self._heard.get(timeout=patience)
            while True:
                yield from self._understood(*said)
                said = self._heard.get_nowait()

    def submit(self, worker: DaskWorker, job: Job) -> None:
        """Give a worker a job, as a task that no other one may do: the schedule of the batch decides who retries it."""
        worker.key = f"conv3d-{self.setting.name}-{job.number}-{job.attempt}-{uuid4().hex[:8]}"
        worker.future = self.client.submit(
            outpost.do,
            pickle.dumps((self.setting, job, self.threads)),
            worker.key,
            worker.welcome.process,
            key=worker.key,
            workers=[worker.address],
            allow_other_workers=False,
            pure=False,
        )
        worker.future.add_done_callback(self._over)

    def _over(self, task: Future) -> None:
        """Hear that a task is over; that is news where nothing was said of the end of its job."""
        error = task.exception() if task.status == "error" else None
        words = "gave up its job" if error is None else f"gave up its job: {type(error).__name__}: {error}"
        self._heard.put((task.key, GAVE_UP, words))

    def later(self, function: Callable[..., None], *arguments: str, workers: list[str]) -> None:
        """Have workers call a function, and do not wait for it: the schedule is not to hang on one that is dead."""
        self._errands.submit(self.client.run, function, *arguments, workers=workers, on_error="ignore")

    def _understood(self, key: str, kind: str, *rest: Any) -> Iterator[tuple[DaskWorker, tuple[Any, ...] | End]]:
        """Yield what a message says; one about a task that is over is none."""
        worker = next((one for one in self.workers if one.job is not None and one.key == key), None)
        if worker is None:
            return
        if kind == outpost.ENDED:
            yield worker, End(*rest)
        elif kind == GAVE_UP:
            self.workers.remove(worker)  # if it is there it is asked again who it is
            yield worker, self._forgotten(worker, End(rest[0], SIGNALLED, may_pass=True))
        else:
            yield worker, (kind, *rest)

    def _lost(self) -> list[DaskWorker]:
        """See which workers there are, take new ones, and return those that are gone."""
        if monotonic() - self._looked < LOOK_SECONDS:
            return []
        there = self._there()
        self._looked = monotonic()
        lost = [worker for worker in self.workers if worker.address not in there]
        self.workers = [worker for worker in self.workers if worker.address in there]
        self._take(there, late=True)
        self._bear_being_alone()
        return lost

    def _there(self) -> list[str]:
        try:
            return list(self.client.nthreads())
        except Exception as error:  # of sockets, of Dask, of asyncio
            words = " ".join(str(error).split())
            raise TeamLost(f"the Dask scheduler is gone: {type(error).__name__}: {words}") from error

    def _await_some(self) -> None:
        while not self.workers:
            try:
                self._take(self._there(), late=False)
                self._bear_being_alone()
            except TeamLost as error:
                raise UsageError(f"--executor: {error}") from None
            with suppress(Empty):
                self._heard.get(timeout=0.0 if self.workers else LOOK_SECONDS / 5)

    def _bear_being_alone(self) -> None:
        """Tell that there are no workers, once; TeamLost if that has lasted too long."""
        if self.workers:
            self._alone = -1e9
        elif self._alone < 0:
            self._alone = monotonic()
            self._tell("waits for workers of the cluster: there are none")
        elif self.patience is not None and monotonic() - self._alone > self.patience:
            raise TeamLost(f"the cluster has no workers: got none in {self.patience:.0f} s")

    def _take(self, there: Iterable[str], late: bool) -> None:
        """Take those who are new; of one that cannot work a ``late`` one is left out, else UsageError says why."""
        known = {worker.address for worker in self.workers}
        new = [address for address in there if address not in known | self._refused]
        room = len(new) if self._limit is None else self._limit - len(known)
        if not new or room <= 0:
            return
        for address, welcome in greeted(self.client, self.setting, new):
            if isinstance(welcome, Welcome):
                if room > 0:
                    room -= 1
                    self.workers.append(DaskWorker(self._free_number(), address, welcome, self))
                continue
            words = f"--executor: the worker at {address} {welcome}"
            if not late:
                raise UsageError(words)
            self._refused.add(address)
            self._tell(f"{words}; it gets no work")

    def _free_number(self) -> int:
        taken = {worker.number for worker in self.workers}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _forgotten(self, worker: DaskWorker, end: End) -> End:
        """Withdraw the task of a worker that is lost, and remove what it had begun."""
        if worker.future is not None:
            with suppress(Exception):
                self.client.cancel([worker.future], force=True)
        if worker.job is not None:
            remove_leftovers(*written_by(worker.job), host=worker.host)
        return end

    def _leave(self) -> None:
        """Stop what is still done, wait until it is cleaned up, and remove what is left of it."""
        with suppress(Exception):
            addresses = [worker.address for worker in self.workers]
            self.client.run(outpost.dismiss, self.setting.name, workers=addresses, on_error="ignore")
            self.client.cancel([worker.future for worker in self.workers if worker.future is not None], force=True)
        with suppress(OSError):
            if not vacated(self.setting.guests, GOODBYE_SECONDS):
                self._tell("workers of the cluster still work, and do not hear that the batch is over")
        for worker in self.workers:
            if worker.job is not None:
                remove_leftovers(*written_by(worker.job), host=worker.host)
