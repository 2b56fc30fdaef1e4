"""``conv3d compare``: whether two volumes are the same, and where they differ most."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import DIFFERS, UsageError

CHECKED = ("values", "geometry", "dtype")


def _tolerance(context: click.Context, option: click.Parameter, value: float) -> float:
    if not (isfinite(value) and value >= 0):
        raise UsageError(f"--{option.human_readable_name}: got {value:g}, expected a number of at least 0")
    return value


def _checks(context: click.Context, option: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in CHECKED:
            raise UsageError(f"--check: got {name!r}, expected some of {', '.join(CHECKED)}, with commas between them")
    return names


@click.command()
@click.argument("source", metavar="A")
@click.argument("other", metavar="B")
@click.option(
    "--atol",
    type=float,
    metavar="X",
    default=0.0,
    show_default=True,
    callback=_tolerance,
    help="Difference that a voxel may have.",
)
@click.option(
    "--rtol",
    type=float,
    metavar="X",
    default=0.0,
    show_default=True,
    callback=_tolerance,
    help="Difference that a voxel may have beside --atol, as a share of the larger of its two values.",
)
@click.option(
    "--gtol",
    type=float,
    metavar="X",
    default=1e-3,
    show_default=True,
    callback=_tolerance,
    help="Distance that the same voxel may lie apart, as a share of the smallest side of a voxel.",
)
@click.option("--nan-differs", is_flag=True, help="Take NaN as different from NaN.  [default: equal]")
@click.option(
    "--check",
    "checks",
    default="values,geometry",
    show_default=True,
    callback=_checks,
    metavar="WHAT",
    help="What makes volumes different beside their shapes: values, geometry, dtype.",
)
@click.option(
    "--axes",
    metavar="AXES",
    help="Name every axis of both files, or of A and of B with a comma between.  [e.g. xyz or xyz,zyx]",
)
@options.MAX_MEMORY
@options.TALKING
def compare(**words: Any) -> int:
    """Compare the volumes A and B: shape, type, place in the world, and every voxel.

    Exit code 0: the same within the tolerance; 7: different. Axes of one letter are compared with each other, in
    whatever order they stand in the files, which are read slab by slab.

    \b
    Example:
      conv3d compare before.nii.gz after.nii.gz --atol 1e-3
      conv3d compare scan.h5:/t0 scan.h5:/t1 --check values,dtype -q && echo the same
    """
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.cli.talk import talking
    from conv3d_cli.report import comparison_document, render_comparison

    if words["source"] == words["other"] == "-":
        raise UsageError("compare: A and B are both '-': there is one standard input, expected a file for one of them")
    with talking(words):
        document = comparison_document(*_compared(words))
    if words["as_json"]:
        print_json(document)
    elif not words["quiet"]:
        render_comparison(document)
    return 0 if document["same"] else DIFFERS


def _compared(words: dict[str, Any]) -> Any:
    """Return what was compared and what was found."""
    from conv3d_cli.cli.talk import log
    from conv3d_cli.cli.words import command_line
    from conv3d_cli.errors import quoted
    from conv3d_cli.limits import Limits
    from conv3d_cli.report import Checked
    from conv3d_cli.volumes import Tolerance, compare_volumes, open_volume, resolve_axes

    tolerance = Tolerance(words["atol"], words["rtol"], not words["nan_differs"], words["gtol"])
    limits = Limits.detect(None, words["max_memory"])
    with open_volume(words["source"]) as a, open_volume(words["other"]) as b:
        for volume in (a, b):
            for note in volume.notes:
                log.info("%s: %s", quoted(volume.ref), note)
        names = _names(words["axes"])
        first, second = (resolve_axes(v.format, len(v.shape), n) for v, n in zip((a, b), names, strict=True))
        found = compare_volumes(a, b, (first, second), tolerance, words["checks"], limits.memory)
    return Checked(command_line(), (a, b), tolerance, words["checks"]), found


def _names(axes: str | None) -> tuple[str | None, str | None]:
    """Return the axes of A and of B."""
    if axes is None:
        return None, None
    first, comma, second = axes.partition(",")
    return first, second if comma else first
