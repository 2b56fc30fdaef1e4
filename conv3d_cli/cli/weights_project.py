"""``conv3d weights project``: weights made to satisfy the constraints of their layers."""

from __future__ import annotations

import math
from typing import Any

import click

from conv3d_cli.cli import options
from conv3d_cli.cli.weights import INPUT_SHAPE, input_shape


@click.command()
@click.argument("source", metavar="W")
@options.SPEC
@click.option("-o", "--output", "target", required=True, metavar="OUT", help="The file to write; its suffix says how.")
@click.option(
    "--channels", type=click.IntRange(min=1), metavar="N", help="Channels of the input.  [default: as the weights have]"
)
@INPUT_SHAPE
@options.OVERWRITE
@options.JSON
def project(
    source: str, spec_path: str, target: str, channels: int | None, shape: str | None, overwrite: bool, as_json: bool
) -> None:
    """Apply the constraints of SPEC to the weights W.

    Prints of each constrained weight how far it was from what its constraint wants: of max_norm, unit_norm and
    min_max_norm the largest distance of a norm from the interval, of others the largest change of a value.

    \b
    Example:
      conv3d weights project trained.npz --spec features.yaml -o projected.npz
    """
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.outfile import check_apart, check_target
    from conv3d_cli.spec import load_spec
    from conv3d_cli.weights import assign, channels_of, check_writable, read_weights, write_weights
    from conv3d_cli.weights import project as projected_weights

    check_writable(target)
    check_apart(target, [source, spec_path])
    check_target(target, overwrite)
    network, weights = load_spec(spec_path).network, read_weights(source)
    notes = assign(network, weights, input_shape(network, channels or channels_of(network, weights), shape))
    rows = [
        {"layer": one.layer, "name": one.name, "constraint": one.constraint}
        | {"before": _number(one.before), "after": _number(one.after)}
        for one in projected_weights(network)
    ]
    write_weights(target, network, overwrite)
    if not rows:
        notes.append("no layer has a constraint: the weights are as they were")
    if as_json:
        print_json({"path": target, "source": source, "projected": rows, "notes": notes})
    else:
        _print(target, rows, notes)


def _print(target: str, rows: list[dict[str, Any]], notes: list[str]) -> None:
    from conv3d_cli.report.table import render_rows
    from conv3d_cli.report.words import printable

    render_rows(target, rows)
    for note in notes:
        click.echo(printable(f"note: {note}"))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
