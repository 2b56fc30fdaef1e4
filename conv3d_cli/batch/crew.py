"""The processes that do a batch's work: started once, replaced when they die, ended with the batch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from time import monotonic
from typing import Any

from conv3d_cli.batch.messages import READY
from conv3d_cli.batch.perform import Job
from conv3d_cli.batch.records import record_path
from conv3d_cli.batch.team import SIGNALLED, End
from conv3d_cli.errors import Conv3dError
from conv3d_cli.outfile import remove_leftovers

PATIENCE = 5.0
"""Seconds that a worker has to clean up after it is told to stop."""

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What tells libraries how many threads of their own to start; by themselves they take the whole machine."""


def written_by(job: Job) -> tuple[str, ...]:
    """Return the files that a job writes."""
    return (*job.item.files, job.item.sidecar, str(record_path(job.folder, job.item.name)))


class Worker:
    """A process, the socket to it, and the job that it has."""

    host = ""
    memory: int | None = None

    def __init__(self, number: int, entry: str, locks: tuple[int, ...], threads: int, folder: str | None) -> None:
        self.number = number
        self.job: Job | None = None
        self.ready = False
        self.peak_bytes = 0
        ours, theirs = socket.socketpair()
        # The very modules of this process, wherever it was started: a folder's own numpy.py is not to get in.
        code = f"import sys; sys.path[:] = {sys.path!r}; from {entry} import main; main({theirs.fileno()})"
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *locks),
                cwd=folder,
                env={**{name: str(threads) for name in POOLS}, **os.environ},
            )
        self.connection = Connection(ours.detach())

    def send(self, message: Any) -> None:
        """Send a message; a worker that is dead is noticed when it is listened to."""
        with suppress(OSError):
            self.connection.send(message)

    def ended(self) -> End:
        """Return how the process ended, once it has closed its socket."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code >= 0:
            return End(f"exited with code {code}", SIGNALLED)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        why = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return End(f"was ended by {name}{why}", SIGNALLED - code)


class Crew:
    """Workers by number; as a context manager it ends them all. They work in ``folder``, if not where this one does."""

    memory: int | None = None

    def __init__(self, entry: str, locks: tuple[int, ...], size: int, threads: int, folder: str | None = None) -> None:
        self._entry, self._locks, self.size, self.threads, self._folder = entry, locks, size, threads, folder
        self.workers: list[Worker] = []

    def __enter__(self) -> Crew:
        try:
            for number in range(self.size):
                self.workers.append(self._start(number))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            for worker in self.workers:
                worker.send(None)
            self._await(PATIENCE)
        self._stop()

    def _start(self, number: int) -> Worker:
        return Worker(number, self._entry, self._locks, self.threads, self._folder)

    def idle(self) -> list[Worker]:
        """Return the workers that have nothing to do."""
        return [worker for worker in self.workers if worker.ready and worker.job is None]

    def messages(self, seconds: float | None) -> Iterator[tuple[Worker, tuple[Any, ...] | End]]:
        """Yield what workers say within so many seconds, and the end of one that has ended, which is replaced.

        Raises Conv3dError if one ends before it has begun: another one would do so too.
        """
        by_connection = {worker.connection: worker for worker in self.workers}
        for connection in wait(list(by_connection), seconds):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                message: tuple[Any, ...] | End = connection.recv()
            except (EOFError, OSError):
                message = worker.ended()
                if not worker.ready:
                    raise Conv3dError(f"a worker cannot start: it {message.words}") from None
                self._replace(worker)
            if message == (READY,):
                worker.ready = True
            else:
                yield worker, message

    def _replace(self, worker: Worker) -> None:
        """Put a new worker in the place of one that has ended, and clear up after that."""
        self._clear(worker)
        worker.connection.close()
        self.workers[worker.number] = self._start(worker.number)

    def _stop(self) -> None:
        """End every worker, by force if it does not go, and remove what it had begun."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        self._await(PATIENCE)
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            self._clear(worker)
            worker.connection.close()

    def _await(self, seconds: float) -> None:
        until = monotonic() + seconds
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, until - monotonic()))
            except subprocess.TimeoutExpired:
                return

    def _clear(self, worker: Worker) -> None:
        if worker.job is not None:
            remove_leftovers(*written_by(worker.job))
