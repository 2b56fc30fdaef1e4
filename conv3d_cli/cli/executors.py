"""``--executor``: who does the work of a batch, and what the options say that are only for some of them."""

from __future__ import annotations

import re
import shlex
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli.talk import STREAM, log
from conv3d_cli.errors import UsageError
from conv3d_cli.frozen import replace

if TYPE_CHECKING:
    from conv3d_cli.batch import Team

LOCAL, DASK, SLURM = "local", "dask", "slurm"
ADDRESS = re.compile(r"dask://([^/\s]+:[0-9]{1,5})")
WORKER = "conv3d_cli.cli.working"
PATIENCE = 60.0
"""Seconds in which a cluster that is there already must have workers; jobs of SLURM may wait for days."""

OWN = ("array", "cpus-per-task", "ntasks", "wrap", "chdir")
"""Options of sbatch that the batch gives itself."""


def _executor(context: click.Context, option: click.Parameter, text: str) -> str:
    if text not in (LOCAL, DASK, SLURM) and not ADDRESS.fullmatch(text):
        raise UsageError(f"--executor: got {text!r}, expected {LOCAL}, {DASK}, dask://HOST:PORT or {SLURM}")
    return text


def _slurm_options(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    return [_slurm_option(text) for text in texts]


def _slurm_option(text: str) -> str:
    key, equals, value = text.partition("=")
    if not re.fullmatch(r"[a-z][a-z-]+", key) or not text.isprintable() or (equals and not value):
        raise UsageError(
            f"--slurm-option: got {text!r}, expected a long option of sbatch without its dashes, such as time=2:00:00"
        )
    if key in OWN:
        raise UsageError(f"--slurm-option: got {text!r}, expected none of {', '.join(OWN)}, which the batch gives")
    return text


EXECUTOR = click.option(
    "--executor",
    metavar="WHERE",
    default=LOCAL,
    show_default=True,
    callback=_executor,
    help="Who does the work: local processes; dask, a Dask cluster of them; dask://HOST:PORT, the workers of a "
    "scheduler; slurm, --jobs jobs of SLURM.",
)
SLURM_OPTION = click.option(
    "--slurm-option",
    "slurm_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_slurm_options,
    help="An option of sbatch for SLURM's jobs, such as partition=short, mem=8G or time=2:00:00.",
)
PRINT_SLURM = click.option(
    "--print-slurm",
    is_flag=True,
    help="Print a script for sbatch, an array of --jobs jobs that does this batch without Dask, and do nothing else.",
)


def is_local(executor: str) -> bool:
    """Return whether all of the work is done on this machine."""
    return executor in (LOCAL, DASK)


def check_executor(words: dict[str, Any]) -> None:
    """Raise UsageError for options that say nothing to who does the work, or that are missing."""
    slurm = words["executor"] == SLURM
    if words["slurm_options"] and not slurm and not words["print_slurm"]:
        raise UsageError(
            f"--slurm-option: got {words['slurm_options'][0]!r}, expected --executor slurm or --print-slurm with it"
        )
    if (slurm or words["print_slurm"]) and words["jobs"] is None:
        raise UsageError("--jobs: got none, expected how many jobs SLURM is to run at once")
    if not words["print_slurm"]:
        return
    for option, beside in {
        f"--executor {words['executor']}": words["executor"] != LOCAL,
        "--shard": words["shard"] is not None,
        "--dry-run": words["dry_run"],
        "a list on standard input": STREAM in words["sources"],
    }.items():
        if beside:
            raise UsageError(f"--print-slurm: got it beside {option}, expected one of them")


def slurm_directives(options: list[str]) -> list[str]:
    """Return options of sbatch as its scripts have them.

    >>> slurm_directives(["time=2:00:00", "comment=two words", "exclusive"])
    ['time=2:00:00', "comment='two words'", 'exclusive']
    """
    parts = [option.partition("=") for option in options]
    return [f"{key}{equals}{shlex.quote(value) if value else ''}" for key, equals, value in parts]


def assembled(words: dict[str, Any], locks: tuple[int, ...], size: int, threads: int) -> AbstractContextManager[Team]:
    """Return those who are to do a batch, as its words say; they are there as long as the context.

    Raises UsageError where they cannot be had, or cannot work.
    """
    if words["executor"] == LOCAL:
        from conv3d_cli.batch import Crew

        return Crew(WORKER, locks, size, threads)
    from conv3d_cli.batch.cluster import cluster_at, local_cluster, slurm_cluster
    from conv3d_cli.batch.dask_crew import DaskCrew
    from conv3d_cli.batch.greeting import setting_of

    setting = setting_of(words["folder"], words["shard"], locks[-1], WORKER, words["max_memory"])
    patience: float | None = PATIENCE
    if words["executor"] == DASK:
        connected, setting = local_cluster(size), replace(setting, own=True)
    elif words["executor"] == SLURM:
        connected = slurm_cluster(size, threads or 1, slurm_directives(words["slurm_options"]))
        patience = None
    else:
        match = ADDRESS.fullmatch(words["executor"])
        assert match is not None
        connected = cluster_at(match[1])
    return DaskCrew(connected, setting, size or None, threads or None, patience, log.warning)
