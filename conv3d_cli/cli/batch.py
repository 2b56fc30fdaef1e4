"""``conv3d batch``: many volumes through the layers of a spec."""

from __future__ import annotations

import re
from typing import Any

import click

from conv3d_cli.cli.apply import apply
from conv3d_cli.cli.bids import WithLabels, bids_options, check_bids
from conv3d_cli.cli.executors import EXECUTOR, PRINT_SLURM, SLURM_OPTION, check_executor
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.cli.talk import READ
from conv3d_cli.errors import UsageError

OF_ONE_VOLUME = ("output", "report_path", "overwrite", "dry_run")
"""Options of ``apply`` that make no sense for many."""

OF_APPLY = [
    parameter
    for parameter in apply.params
    if isinstance(parameter, click.Option) and parameter.name not in (*OF_ONE_VOLUME, "help")
]


def _shard(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard: got {text!r}, expected such as 1/8, the first of eight parts")
    return int(match[1]), int(match[2])


@click.command(cls=WithLabels)
@click.argument("sources", metavar="[IN]...", nargs=-1, type=FILE)
@click.option(
    "--out-dir",
    "folder",
    required=True,
    metavar="D",
    type=FILE,
    help="Folder of the outputs; it is made if need be.",
)
@click.option(
    "--name",
    default="{below}/{stem}{suffix}",
    show_default=True,
    metavar="TEMPLATE",
    help="Name of an output, below D: {stem}, {suffix}, {parent}, {below}, {dataset}, or what stands behind a key in "
    "the input's name, such as {sub} in sub-01_T1w.nii.gz.",
)
@click.option(
    "--pattern", metavar="GLOB", help="What to take of a folder, such as '**/*_T1w.nii.gz'.  [default: volumes in it]"
)
@click.option(
    "--manifest",
    metavar="FILE",
    type=FILE,
    help="A .csv, .tsv or .json table of inputs: columns input, output, and any of the options of one volume.",
)
@bids_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Volumes at once, each with --threads.  [default: as many as there are processors for]",
)
@click.option(
    "--if-exists",
    type=click.Choice(["error", "skip", "overwrite"]),
    default="error",
    show_default=True,
    help="What to do about an output that exists, and that no batch into D has made.",
)
@click.option(
    "--keep-going/--fail-fast", default=True, show_default=True, help="Whether a volume's error ends the batch."
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    default=2,
    show_default=True,
    help="Further tries after an error of the system that may pass, as of a network drive.",
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Do the I-th of N parts only: for N processes at once, as in a job array, that know nothing of each other.",
)
@EXECUTOR
@SLURM_OPTION
@PRINT_SLURM
@click.option("--verify", is_flag=True, help="Read what is done already to see if it is whole, whatever its dates say.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and why, and write nothing.")
def batch(**words: Any) -> int:
    """Apply the layers of SPEC, or filters, to many volumes, and write each output into the folder D.

    IN is a volume, a folder, a pattern in quotes, or - for a list on standard input. What is done already is not done
    again: an output is left as it is if its input, spec, weights, options and the version are those it was made from,
    and it is whole. Beside each output lies its report, OUT.json; D/summary.json tells of the whole batch, and
    D/.conv3d keeps what each output was made from. A volume that cannot be used does not stop the others.

    \b
    Example:
      conv3d batch 'scans/*.nii.gz' --out-dir smooth --filter gaussian:fwhm=6mm
      conv3d batch bids --pattern 'sub-*/anat/*_T1w.nii.gz' --out-dir out --name '{sub}_edges.nii.gz' --spec edges.yaml
      conv3d batch ds --bids --out-dir ds/derivatives/conv3d --participant-label 01 02 --spec edges.yaml --desc edges
      conv3d batch --manifest scans.csv --out-dir out --jobs 4 --max-memory 16G
      find . -name '*.npy' | conv3d batch - --out-dir out --filter laplacian --dry-run
      conv3d batch scans --out-dir out --spec edges.yaml --jobs 50 --slurm-option time=2:00:00 --print-slurm | sbatch
    """
    return perform_batch(words)


def perform_batch(words: dict[str, Any]) -> int:
    """Do what the words of the command ask, and return the exit code."""
    from conv3d_cli.cli.batching import Batch

    check_inputs(words)
    check_executor(words)
    return Batch(words, OF_APPLY, READ).run()


def check_inputs(words: dict[str, Any]) -> None:
    """Raise UsageError unless the words name one source of inputs."""
    check_bids(words)
    if (words["manifest"] is None) == (not words["sources"]):
        got = "both" if words["sources"] else "neither"
        raise UsageError(f"batch: needs either IN or --manifest: got {got}, expected one of them")


batch.params += OF_APPLY
