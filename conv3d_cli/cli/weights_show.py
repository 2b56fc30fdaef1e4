"""``conv3d weights show``: the arrays of a file as a table, small ones with their values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli import options

if TYPE_CHECKING:
    from conv3d_cli.weights import Weights


@click.command()
@click.argument("path", metavar="FILE")
@click.option("--layer", metavar="NAME", help="Show one layer, with all its values.")
@click.option(
    "--slices/--no-slices",
    default=None,
    help="Print the values of every array, or of none.  [default: of small ones; in JSON of none]",
)
@options.JSON
def show(path: str, layer: str | None, slices: bool | None, as_json: bool) -> None:
    """Show layers, shapes, statistics and small kernels.

    FILE is .npz, .h5, .weights.h5, .keras or .safetensors; a model file is read as well as weights alone.

    \b
    Example:
      conv3d weights show features.npz
      conv3d weights show unet.keras --layer conv_a
    """
    from conv3d_cli.cli.weights import print_arrays, rows_of
    from conv3d_cli.report.words import printable
    from conv3d_cli.weights import read_weights, small, values_text

    weights = read_weights(path)
    names = list(weights) if layer is None else _names(weights, layer)
    rows = rows_of({name: weights[name] for name in names} if layer is not None else weights)
    whole = slices if slices is not None else layer is not None
    notes = [] if weights.named else ["the file has no names of layers: it numbers them by class"]
    if as_json:
        if whole:
            rows = [{**row, "values": _plain(weights[name])} for row, name in zip(rows, names, strict=True)]
        print_arrays(path, rows, as_json, notes=notes)
        return
    print_arrays(path, rows, as_json, notes=notes)
    for name in names:
        if whole or (slices is None and small(weights.headers[name].shape)):
            for line in values_text(name, weights[name], weights.layout):
                click.echo(printable(line))


def _names(weights: Weights, layer: str) -> list[str]:
    """Return the names of a layer's arrays; WeightsError, with the layers that there are, if there is no such layer."""
    from conv3d_cli.errors import WeightsError, nearest, quoted

    found = [p for p in weights.layers if p == layer] or [p for p in weights.layers if p.endswith(f"/{layer}")]
    if len(found) != 1:
        raise WeightsError(
            f"{quoted(weights.path)}: there is no layer {quoted(layer)}: expected one of "
            f"{', '.join(map(quoted, weights.layers))}{nearest(layer, weights.layers)}"
        )
    return list(weights.layers[found[0]].weights.values())


def _plain(array: Any) -> Any:
    """Return an array as lists; JSON has no words for what is not finite, so they stand as text."""
    if array.ndim:
        return [_plain(part) for part in array]
    value = array.item()
    return value if math.isfinite(value) else str(value)
