"""A worker whose jobs do what their inputs' names say: what real ones do only if the machine is in trouble."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from conv3d_cli.batch.serve import serve
from conv3d_cli.cli.main import verdict
from conv3d_cli.cli.stopping import Stopped, stopping
from conv3d_cli.errors import VolumeError
from conv3d_cli.outfile import replacing


def again_and_again(path: Path, times: int) -> None:
    """Fail so many times as a network drive does, wrapped as a reader of volumes wraps it."""
    tries = Path(f"{path}.tries")
    count = int(tries.read_text()) if tries.exists() else 0
    tries.write_text(str(count + 1))
    if count < times:
        try:
            raise OSError(errno.ESTALE, "Stale file handle")
        except OSError as error:
            raise VolumeError("the drive: cannot be read: Stale file handle") from error


def lose_the_worker(path: Path, times: int) -> None:
    """End so many times the worker of Dask that this process works beside."""
    tries = Path(f"{path}.tries")
    count = int(tries.read_text()) if tries.exists() else 0
    tries.write_text(str(count + 1))
    if count < times:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


def work(words, command, talk):
    """Do what the name says: ``<what>-<number>.npy``; ``big-7`` needs 7 bytes, ``meet-2-a`` waits for another one."""
    source = Path(words["source"])
    what, number = source.stem.split("-")[:2]
    talk.planned(int(number) if what == "big" else 1, 0.1)
    begun = time.monotonic()
    talk.note(30, f"warns of {source.stem}")
    if what == "die":
        os.kill(os.getpid(), int(number))
    if what == "lose":
        lose_the_worker(source, int(number))
    if what == "exit":
        os._exit(int(number))
    if what == "bug":
        raise ZeroDivisionError("a bug")
    if what == "stale":
        again_and_again(source, int(number))
    if what == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "out")
    if what == "big":
        time.sleep(0.15)
    if what == "meet":
        source.with_suffix(".met").touch()
        while len(list(source.parent.glob("*.met"))) < int(number) and time.monotonic() < begun + 30:
            time.sleep(0.01)
        if source.stem.endswith("bug"):
            raise ZeroDivisionError("a bug")
        time.sleep(0.3)  # the other one fails meanwhile
    talk.tick(1.0)
    with replacing(words["target"], words["overwrite"]) as file:
        if what in ("half", "stay"):
            file.write(b"half")
            file.flush()
        if what == "half":
            os.kill(os.getpid(), int(number))
        if what == "stay":
            Path(f"{source}.begun").touch()
            time.sleep(60)
        file.write(f"{os.getpid()} {begun} {time.monotonic()}".encode())
    return {"input": {"sha256": "0", "shape": [2, 3, 4]}, "warnings": []}


def main(descriptor: int) -> None:
    number = 0
    try:
        with stopping(last=True):
            serve(descriptor, work, verdict)
    except Stopped as stopped:
        number = 128 + stopped.number
    os._exit(number)


def deaf(descriptor: int) -> None:
    """A worker that does not go when it is told to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(descriptor, work, verdict)
