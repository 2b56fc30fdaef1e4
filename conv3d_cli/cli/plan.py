"""``conv3d plan``: what a run would do, from a file's header or a bare shape."""

from __future__ import annotations

from typing import Any

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import UsageError


@click.command()
@click.argument("source", metavar="[IN]", required=False)
@click.option("--shape", metavar="SHAPE", help="Plan for an array of this shape instead of a file, e.g. 91x109x91.")
@options.PLANNING
@options.TALKING
def plan(**words: Any) -> None:
    """Show what a run would do: shapes, methods, memory, time.

    Nothing is computed and only headers are read. Below the table stands what the other methods would take, and which
    are closed; -vv says why, and --json has it all.

    \b
    Example:
      conv3d plan brain.nii.gz --spec edges.yaml
      conv3d plan brain.nii.gz --filter gaussian:fwhm=6mm
      conv3d plan --shape 91x109x91 --spec edges.yaml --json
    """
    from conv3d_cli.cli.grids import BareShape
    from conv3d_cli.cli.masks import opened_mask
    from conv3d_cli.cli.prepare import prepare, show
    from conv3d_cli.cli.talk import talking
    from conv3d_cli.cli.words import shape_words
    from conv3d_cli.report import plan_document

    if (words["source"] is None) == (words["shape"] is None):
        raise UsageError("plan: needs either a volume or --shape: got both or neither, expected one of them")
    with talking(words), opened_mask(words) as mask:
        if words["shape"] is not None:
            made = prepare(BareShape(shape_words(words["shape"])), words, {}, mask, weigh=False)
        else:
            from conv3d_cli.volumes import open_volume

            with open_volume(words["source"]) as volume:
                made = prepare(volume, words, {}, mask, weigh=False)
    show(plan_document(*made), words)
