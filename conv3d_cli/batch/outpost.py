"""What runs inside a worker of a Dask cluster: a process of conv3d beside it does the job, and this relays the words.

The process is the same as that of a batch on one machine. So a crash of it does not end the worker, a job has its own
folder, arguments and signals whatever else the worker does, and a stop cleans up; and if the worker is killed, the
process notices that nobody is there to work for, and ends without a half-written output.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread, Timer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from conv3d_cli.batch import messages
from conv3d_cli.batch.crew import Crew
from conv3d_cli.batch.lock import visiting
from conv3d_cli.batch.perform import Job
from conv3d_cli.batch.team import End
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import Limits

if TYPE_CHECKING:
    from distributed import Worker

ENDED = "ended"
"""Beside the messages of a process of conv3d: its end, with words and an exit code."""

IDLE_SECONDS = 5.0
"""How long a process waits for another job; it holds the lock of guests."""

LOOK_SECONDS = 1.0
LATE_SECONDS = 5.0
"""How long a network drive may take to show what has been written on another machine."""

PROCESS = uuid4().hex
"""Which worker this is, even if another one comes to have its address."""


@frozen
class Setting:
    """What all jobs of a batch share: a name that no other has, the folder it was started in and that of the outputs.

    ``lock`` is what the lock of the outputs' folder says, which every worker must be able to read; ``guests`` is the
    file to lock; ``entry`` is the module that a process runs. Workers that are ``own`` end with the batch.
    """

    name: str
    here: str
    out: str
    lock_path: str
    lock: bytes
    guests: str
    entry: str
    max_memory: str | None
    own: bool = False


@frozen
class Welcome:
    """What a worker says of itself, or why it can do nothing: ``refusal`` is the rest of a sentence."""

    process: str
    host: str
    memory: int
    threads: int
    refusal: str | None = None


async def greet(setting: Setting, dask_worker: Worker) -> Welcome:
    """Tell what this worker has, and whether it sees the files that it needs."""
    if setting.own:  # a key pressed in the terminal is for the batch, which ends its workers
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    refusal = await _refusal(setting)
    limits = Limits.detect(None, setting.max_memory)
    threads = max(1, min(limits.threads, dask_worker.state.nthreads))
    return Welcome(PROCESS, os.uname().nodename, limits.memory, threads, refusal)


async def _refusal(setting: Setting) -> str | None:
    for _ in range(int(LATE_SECONDS / 0.1)):
        with suppress(OSError):
            if Path(setting.lock_path).read_bytes() == setting.lock:
                break
        await asyncio.sleep(0.1)
    else:
        return f"does not see the folder {setting.out!r} as this machine does: expected a file system that all share"
    if not Path(setting.here).is_dir():
        return f"has no folder {setting.here!r}, in which the batch was started: expected a file system that all share"
    return None


class Post:
    """The process that works for a batch from here; it is started for a job, and kept for the next for a while."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.busy = Lock()
        self.working_on: str | None = None
        self.over = False
        self._crew: Crew | None = None
        self._held = ExitStack()
        self._timer: Timer | None = None

    @contextmanager
    def crew(self, threads: int) -> Iterator[Crew]:
        """Give a crew of one for a job."""
        with self.busy:
            if self._timer is not None:
                self._timer.cancel()
            try:
                if self._crew is None:
                    lock = self._held.enter_context(visiting(self.setting.guests))
                    crew = Crew(self.setting.entry, (lock,), 1, threads, self.setting.here)
                    self._crew = self._held.enter_context(crew)
                yield self._crew
            except BaseException:
                self._end()
                raise
            if self.over:
                self._end()
                return
            self._timer = Timer(IDLE_SECONDS, self.leave)
            self._timer.daemon = True
            self._timer.start()

    def send(self, key: str, message: Any) -> None:
        """Pass a word of the batch on."""
        if self._crew is not None and self.working_on == key:
            self._crew.workers[0].send(message)

    def stop(self) -> None:
        """Have the process clean up and end, whatever it does, and start no other one."""
        self.over = True
        if self._crew is not None:
            with suppress(OSError):
                self._crew.workers[0].process.terminate()

    def leave(self) -> None:
        """End the process, unless it has a job."""
        if self.busy.acquire(blocking=False):
            try:
                self._end()
            finally:
                self.busy.release()

    def _end(self) -> None:
        self._crew = None
        self._held.close()


_POSTS: dict[str, Post] = {}


def begin(name: str, key: str) -> None:
    """Let the work on a job begin, for which there is room now."""
    if name in _POSTS:
        _POSTS[name].send(key, messages.GO)


def dismiss(name: str) -> None:
    """Stop what is done for a batch."""
    if name in _POSTS:
        post = _POSTS.pop(name)
        post.stop()
        Thread(target=post.leave, daemon=True).start()


def do(parcel: bytes, key: str, process: str) -> None:
    """Do the job in a parcel, and log what there is to tell of it as events of the batch.

    ``process`` is the worker that was asked for: another one with its address has not been.
    """
    from distributed import get_worker

    if process != PROCESS:
        return
    worker = get_worker()
    setting, job, threads = pickle.loads(parcel)

    def say(*words: Any) -> None:
        worker.log_event(setting.name, json.dumps([key, *words]))

    def wanted() -> bool:
        known = worker.state.tasks.get(key)
        return known is not None and known.state == "executing"

    post = _POSTS.setdefault(setting.name, Post(setting))
    with post.crew(threads) as crew:
        while not crew.idle():
            for _ in crew.messages(LOOK_SECONDS):
                pass
        post.working_on = key
        try:
            _work(crew, job, say, wanted)
        finally:
            post.working_on = None
            post.over = post.over or not wanted()


def _work(crew: Crew, job: Job, say: Callable[..., None], wanted: Callable[[], bool]) -> None:
    """Have the only worker of a crew do a job, as long as it is wanted, and say what there is to tell of it."""
    worker = crew.workers[0]
    worker.job = job
    worker.send(job)
    while worker.job is not None:
        for _, message in crew.messages(LOOK_SECONDS):
            over = isinstance(message, End) or message[0] in (messages.DONE, messages.FAILED)
            if over:
                worker.job = None
            if isinstance(message, End):
                say(ENDED, message.words, message.code)
            else:
                say(*message)
        if not wanted():  # whoever asked for it is gone
            worker.process.terminate()
