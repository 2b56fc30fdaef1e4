"""``conv3d run``: what a run file says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli import options
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.errors import UsageError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conv3d_cli.runfile import Run

SAMPLE = "sample_data/mni152_t1_2mm.nii.gz"
"""The volume of the starter, where it is there; it comes with the sources."""


@click.command()
@click.argument("path", metavar="[RUN.yaml]", required=False, type=FILE)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Put a value in place of the file's, such as layers.0.padding=same or batch.jobs=2.",
)
@click.option("--init", is_flag=True, help="Write a run file to begin with, or print it if no name is given.")
@click.option("-o", "--output", "target", metavar="OUT", type=FILE, help="Write OUT in place of the output.")
@options.REPORT
@options.OVERWRITE
@options.DRY_RUN
@options.TALKING
def run(path: str | None, changes: tuple[str, ...], init: bool, **words: Any) -> int:
    """Do what a run file says: input, layers, output and options in one place. Or repeat the run of a report.

    A run file has a key for every option of `apply`, and below `batch:` for every one of `batch`; layers may stand in
    it. Its paths are relative to its folder, and those of --set too. The command line goes before the file. A report
    that `apply`, `run` or `batch` wrote as JSON is a run file: the run is done again, with the same bits.

    \b
    Example:
      conv3d run --init edges-run.yaml
      conv3d run edges-run.yaml --dry-run
      conv3d run edges-run.yaml --set output=other.nii.gz --set layers.1.filters=8
      conv3d run report.json --output again.nii.gz
    """
    if init:
        return _begin(path, changes, words)
    if path is None:
        raise UsageError("run: got no file, expected a run file; --init makes one to begin with")
    asked = read(path, changes, {word: value for word, value in words.items() if value not in (None, False, 0)})
    with asked.told():
        return _perform(asked)


def read(path: str, changes: tuple[str, ...] = (), given: Mapping[str, Any] | None = None) -> Run:
    """Return what a run file asks for, with ``changes`` of --set and the words that the command line has given."""
    from conv3d_cli.cli.apply import check_streams
    from conv3d_cli.cli.batch import check_inputs
    from conv3d_cli.cli.bids import check_masking
    from conv3d_cli.cli.executors import check_executor
    from conv3d_cli.cli.masks import masking_of
    from conv3d_cli.cli.prepare import check_layers
    from conv3d_cli.cli.runkeys import run_keys
    from conv3d_cli.runfile import read_run

    rules = {
        "apply": (check_streams, check_layers, masking_of),
        "batch": (check_inputs, check_executor, check_layers, check_masking),
    }
    return read_run(path, changes, dict(given or {}), run_keys(), rules)


def _perform(asked: Run) -> int:
    if asked.command == "batch":
        from conv3d_cli.cli.batch import perform_batch

        return perform_batch(asked.words)
    from conv3d_cli.cli.apply import perform

    perform(asked.words)
    return 0


def _begin(path: str | None, changes: tuple[str, ...], words: dict[str, Any]) -> int:
    """Write a run file to begin with, or print it."""
    from conv3d_cli.cli.runkeys import run_keys
    from conv3d_cli.outfile import replacing
    from conv3d_cli.runfile import starter

    if changes:
        raise UsageError("--set: got it beside --init, expected a run file to put it in")
    folder = os.path.dirname(path or "")  # noqa: PTH120 - as a run file reads its paths
    text = starter(run_keys(), Path(path or "run.yaml").name, _sample(folder), "slopes.nii.gz")
    if path is None:
        click.echo(text, nl=False)
        return 0
    with replacing(path, overwrite=words["overwrite"]) as file:
        file.write(text.encode())
    if not words["quiet"]:
        click.echo(f"{quoted(path)}: written; conv3d run {quoted(path)} --dry-run shows what it does", err=True)
    return 0


def _sample(folder: str) -> str:
    """Return the sample volume as a file in a folder names it, or the name of one to put there."""
    here = (Path(SAMPLE), Path(__file__).parent.parent.parent / SAMPLE)
    found = next((path for path in here if path.is_file()), None)
    return "brain.nii.gz" if found is None else os.path.relpath(found, folder or ".")
