"""``conv3d weights``: make weights from a spec's initializers, and look into a weights file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from conv3d_cli.cli import options


@click.group()
def weights() -> None:
    """Make and inspect weights files.

    \b
    Example:
      conv3d weights init features.npz --spec features.yaml --channels 1 --seed 7
      conv3d weights show features.npz
    """


@weights.command()
@click.argument("path", metavar="OUT")
@options.SPEC
@click.option("--channels", type=click.IntRange(min=1), default=1, show_default=True, help="Channels of the input.")
@options.SEED
@options.OVERWRITE
@options.JSON
def init(path: str, spec_path: str, channels: int, seed: int, overwrite: bool, as_json: bool) -> None:
    """Write OUT (.npz) with weights drawn from the initializers of SPEC; the same seed gives Keras's numbers.

    \b
    Example:
      conv3d weights init features.npz --spec features.yaml --seed 7
    """
    from conv3d_cli.outfile import check_apart, check_target
    from conv3d_cli.spec import load_spec
    from conv3d_cli.weights import named_weights, write_weights

    check_apart(path, [spec_path])
    check_target(path, overwrite)
    network = load_spec(spec_path).network
    network.build(channels, seed=seed)
    write_weights(path, network, overwrite)
    _table(path, named_weights(network), as_json)


@weights.command()
@click.argument("path", metavar="FILE")
@options.JSON
def show(path: str, as_json: bool) -> None:
    """Show the arrays of a weights file: layer, shape, dtype, range.

    \b
    Example:
      conv3d weights show features.npz
    """
    from conv3d_cli.weights import read_weights

    _table(path, read_weights(path), as_json)


def _table(path: str, arrays: Any, as_json: bool) -> None:
    """Print one row for each array."""
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.report.table import render_rows
    from conv3d_cli.weights import describe

    rows = [{**asdict(row), "shape": list(row.shape)} for row in describe(arrays)]
    if as_json:
        print_json({"path": path, "arrays": rows})
    else:
        render_rows(path, rows)
