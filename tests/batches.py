"""What tests of batches share: workers that are none, the end of a process in the midst of its work, what is left."""

from __future__ import annotations

import gzip
import os
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import nibabel
import numpy as np

from conv3d_cli import batch
from conv3d_cli.batch import messages
from conv3d_cli.batch.perform import perform
from conv3d_cli.batch.serve import told
from conv3d_cli.cli.main import verdict
from conv3d_cli.cli.working import work
from conv3d_cli.outfile import pending

NOBODY = 2**22 + 12345
"""A process that there is none of: Linux counts them up to 2**22."""


class LocalWorker:
    """Does a job at once, in this process, and has told all of it before anybody listens."""

    def __init__(self, number: int) -> None:
        self.number, self.ready = number, True
        self.host, self.memory = "", None
        self.job = None
        self.peak_bytes = 0
        self.said: deque = deque()

    def send(self, message) -> None:
        if message is None or message == messages.GO:
            return
        try:
            figures = perform(message, work, self)
        except Exception as error:
            self.said.append((messages.FAILED, *told(error, message, verdict)))
        else:
            self.said.append((messages.DONE, figures))

    def planned(self, peak_bytes: int, seconds: float) -> None:
        self.said.append((messages.PLANNED, peak_bytes, seconds))

    def tick(self, share: float) -> None:
        self.said.append((messages.TICK, share))

    def note(self, level: int, text: str) -> None:
        self.said.append((messages.NOTE, level, text))


class LocalCrew:
    """A crew of one that needs no process; what it is tells nothing of speed."""

    memory = None

    def __init__(self, entry: str, locks, size: int, threads: int) -> None:
        self.size, self.threads = size, threads
        self.workers = [LocalWorker(0)]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace) -> None:
        pass

    def idle(self):
        return [worker for worker in self.workers if worker.job is None]

    def messages(self, seconds):
        for worker in self.workers:
            while worker.said:
                yield worker, worker.said.popleft()


@contextmanager
def locally():
    """Let batches do their work in this process."""
    with mock.patch.object(batch, "Crew", LocalCrew):
        yield


class Killed(BaseException):
    """The end of the process, after which it does nothing any more."""


STEPS = ("open", "link", "replace", "unlink", "fsync", "ftruncate", "mkdir")
"""Calls of the system by which the state of the disk changes."""


@contextmanager
def killed_after(steps: int | None):
    """End the process in place of the change to the disk that comes after so many; nothing is cleaned up then.

    Gives a function that tells whether it has come to that.
    """
    left = [steps]
    real = {name: getattr(os, name) for name in STEPS}
    discard = pending.Pending.discard

    def counted(name):
        def call(*arguments, **words):
            if left[0] is not None:
                if left[0] <= 0:
                    raise Killed
                left[0] -= 1
            return real[name](*arguments, **words)

        return call

    def unless_killed(one):
        if left[0] is None or left[0] > 0:
            discard(one)

    with (
        mock.patch.multiple(os, **{name: counted(name) for name in STEPS}),
        mock.patch.object(pending.Pending, "discard", unless_killed),
        # As a process that is gone when the next one looks: its own number would be that of one which lives.
        mock.patch.object(os, "getpid", return_value=NOBODY),
    ):
        yield lambda: left[0] is not None and left[0] <= 0


def nifti(path: Path, seed: int, shape=(7, 8, 9)) -> Path:
    """Write a volume that is the seed's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


BAD = (b"", b"no volume", gzip.compress(b"no volume either", mtime=0))


def bad(path: Path, kind: int) -> Path:
    """Write a file that is no volume."""
    path.write_bytes(BAD[kind % len(BAD)])
    return path


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files in a folder."""
    return [path for path in folder.rglob(".*") if path.name.endswith(".part")]


def volumes_in(folder: Path) -> dict[str, bytes]:
    """Return the outputs of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.nii*"))
        if not path.name.endswith(".json")
    }
