"""Dask clusters to work on: one of processes of this machine, one that is there already, one of SLURM's jobs."""

from __future__ import annotations

import importlib
import logging
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

EXTRA = "conv3d-cli[dask]"
CONNECT_SECONDS = 15.0


@contextmanager
def local_cluster(size: int) -> Iterator[Client]:
    """Give the client of a cluster of so many processes of this machine, which lasts as long as this."""
    distributed = _library("distributed")
    with _quietly():
        cluster = distributed.LocalCluster(
            n_workers=size,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # which a batch sees to by itself
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            yield client


@contextmanager
def cluster_at(address: str) -> Iterator[Client]:
    """Give a client of the scheduler at ``host:port``. Raises UsageError if there is none."""
    distributed = _library("distributed")
    with _quietly():
        try:
            client = distributed.Client(f"tcp://{address}", timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--executor: there is no Dask scheduler: got 'dask://{address}', expected the address that "
                f"`dask scheduler` shows: {error}"
            ) from None
        with client:
            yield client


@contextmanager
def slurm_cluster(size: int, threads: int, options: Sequence[str]) -> Iterator[Client]:
    """Give the client of a cluster of so many jobs of SLURM, each a worker. UsageError where SLURM is not there."""
    if shutil.which("sbatch") is None:
        raise UsageError("--executor: got slurm, expected a machine that has the command sbatch: this one has not")
    distributed = _library("distributed")
    with _quietly():
        cluster = slurm_jobs(threads, options)
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            _try_out(cluster.job_script())
            cluster.scale(jobs=size)
            yield client


def _try_out(script: str) -> None:
    """Raise UsageError if SLURM would not take a script: Dask would go on waiting for such a job."""
    ran = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UsageError(f"--executor: sbatch refuses the jobs: {' '.join(ran.stderr.split())}")


def slurm_jobs(threads: int, options: Sequence[str]) -> Any:
    """Return a SLURMCluster that has no jobs yet, with options of sbatch such as ``partition=short``.

    Memory is what SLURM gives a job, by its default or the option ``mem``, and not watched by Dask.
    """
    jobqueue = _library("dask_jobqueue")
    return jobqueue.SLURMCluster(
        cores=threads,
        processes=1,
        memory="1GiB",  # has to be given; what is made of it is left out and overruled
        job_directives_skip=["--mem=", "-t "],
        job_extra_directives=[f"--{option}" for option in options],
        job_name="conv3d",
        python=shlex.quote(sys.executable),
        worker_extra_args=["--memory-limit", "0"],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"},
    )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"--executor: Dask is not installed ({error}): expected that of the extra `dask`, pip install '{EXTRA}'"
        ) from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Dask tells of its workers to itself: the batch tells what matters."""
    loggers = [logging.getLogger(name) for name in ("distributed", "dask_jobqueue", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
