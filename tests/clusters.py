"""Dask clusters for tests: a scheduler and workers as processes of their own, and a SLURM that is none."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

SCHEDULER = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
WORKER = ("distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
PATIENCE = 60


def started(module: str, *words: str, log: Path, cwd: Path | None = None) -> subprocess.Popen:
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", module, *words], stderr=file, stdout=file, cwd=cwd)


def said(log: Path, pattern: str, process: subprocess.Popen) -> str:
    """Wait until a log says something, and return it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if match := re.search(pattern, log.read_text()):
            return match[1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


class Cluster:
    """A scheduler, and workers in a folder of their own, each started and ended by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen] = []
        log = folder / "scheduler.log"
        self.scheduler = started(*SCHEDULER, log=log)
        self.address = said(log, r"Scheduler at:\s+tcp://(\S+)", self.scheduler)

    def add(self, *words: str) -> subprocess.Popen:
        """Start a worker, and wait until it is there."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        words = ("--local-directory", str(self.folder), *words)
        worker = started(*WORKER, f"tcp://{self.address}", *words, log=log, cwd=self.folder)
        self.workers.append(worker)
        said(log, r"(Registered to):", worker)
        return worker

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@contextmanager
def cluster(folder: Path):
    """Give a cluster that has no workers yet."""
    folder.mkdir(exist_ok=True)
    one = Cluster(folder)
    try:
        yield one
    finally:
        one.end()


SBATCH = """#!/bin/bash
# Runs a job at once, on this machine, and notes what it was given.
[ "$1" = --test-only ] && exit
cat "$1" > {folder}/job-$$.sh
SLURM_JOB_ID=$$ SLURM_CPUS_PER_TASK=1 bash {folder}/job-$$.sh > {folder}/job-$$.log 2>&1 &
echo $! > {folder}/job-$$.pid
echo "Submitted batch job $$"
"""
SCANCEL = """#!/bin/bash
kill $(cat {folder}/job-$1.pid)
"""


def no_slurm(folder: Path) -> dict[str, str]:
    """Return an environment in which jobs of SLURM are processes of this machine."""
    (folder / "bin").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        path = folder / "bin" / name
        path.write_text(text.format(folder=folder))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def of_parent(process: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == process and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
