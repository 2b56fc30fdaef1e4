"""``--print-slurm``: a batch as a job array of SLURM, each job a part of it that needs to know of no other."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from conv3d_cli.cli.executors import slurm_directives
from conv3d_cli.cli.words import option_words

NOT_OF_A_JOB = ("jobs", "shard", "executor", "slurm_options", "print_slurm", "help")
DEFAULTS = ("job-name=conv3d",)


def print_script(words: dict[str, Any], items: int) -> None:
    """Print the script for so many items; a name may hold bytes that are no text."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(script(words, items)))
    sys.stdout.buffer.flush()


def script(words: dict[str, Any], items: int) -> str:
    """Return a script that ``sbatch`` takes: it runs where this command was started, with the same conv3d."""
    parts = max(1, min(words["jobs"], items))
    given = slurm_directives(words["slurm_options"])
    own = [option for option in DEFAULTS if not any(other.startswith(option.split("=")[0] + "=") for other in given)]
    directives = [*own, f"array=1-{parts}", f"cpus-per-task={words['threads'] or 1}", *given]
    shard = f'"${{SLURM_ARRAY_TASK_ID}}/{parts}"'
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{directive}" for directive in directives),
        f"cd {shlex.quote(os.getcwd())} || exit",  # noqa: PTH109 - what was typed is relative to it
        f"exec {shlex.join(_conv3d())} {_job(words, shard)}",
    ]
    return "\n".join(lines) + "\n"


def _job(words: dict[str, Any], shard: str) -> str:
    """Return the words of one job; a run file is named again, as layers may stand in it."""
    if words.get("run_path") is not None:
        other = ("print_slurm=false", "slurm_options=null", "jobs=1")
        again = [*sys.argv[1:], *(word for key in other for word in ("--set", f"batch.{key}"))]
        return f"{shlex.join(again)} --set batch.shard={shard}"
    from conv3d_cli.cli.batch import batch

    params = [param for param in batch.params if isinstance(param, click.Option) and param.name not in NOT_OF_A_JOB]
    options = shlex.join(["batch", *option_words(words, params), "--jobs", "1"])
    sources = shlex.join(["--", *words["sources"]]) if words["sources"] else ""
    return f"{options} --shard {shard} {sources}".rstrip()


def _conv3d() -> list[str]:
    """Return the command that this interpreter has for conv3d."""
    command = Path(sys.executable).with_name("conv3d")
    return [str(command)] if command.exists() else [sys.executable, "-m", "conv3d_cli"]
