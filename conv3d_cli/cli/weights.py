"""``conv3d weights``: make, show, convert and project weights files; the larger commands have their own modules."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import Any

import click

from conv3d_cli.cli import options

ELSEWHERE = {
    "convert": "conv3d_cli.cli.weights_convert:convert",
    "project": "conv3d_cli.cli.weights_project:project",
    "show": "conv3d_cli.cli.weights_show:show",
}

INPUT_SHAPE = click.option(
    "--input-shape",
    "shape",
    metavar="DxHxW",
    help="Voxels of the input, e.g. 64x64x32: only layers with weights for each voxel need it.",
)


class _WeightsGroup(click.Group):
    """The commands of this module, and those that stand in their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command, imported if it stands elsewhere."""
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, attribute = ELSEWHERE[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=_WeightsGroup)
def weights() -> None:
    """Make, show, convert and project weights files.

    \b
    Example:
      conv3d weights init features.npz --spec features.yaml --channels 1 --seed 7
      conv3d weights show features.npz
      conv3d weights convert unet.keras --layer conv_a -o conv_a.npz
    """


@weights.command()
@click.argument("path", metavar="OUT")
@options.SPEC
@click.option(
    "--channels",
    type=click.IntRange(min=1),
    metavar="N",
    help="Channels of the input.  [default: as SPEC declares, else 1]",
)
@INPUT_SHAPE
@options.SEED
@options.OVERWRITE
@options.JSON
def init(
    path: str, spec_path: str, channels: int | None, shape: str | None, seed: int, overwrite: bool, as_json: bool
) -> None:
    """Draw weights from the initializers of SPEC.

    OUT is .npz, .h5, .weights.h5 or .safetensors. The same --seed gives the same weights; where an initializer has a
    seed of its own, they are those of Keras.

    \b
    Example:
      conv3d weights init features.npz --spec features.yaml --seed 7
    """
    from conv3d_cli.outfile import check_apart, check_target
    from conv3d_cli.spec import load_spec
    from conv3d_cli.weights import check_writable, named_weights, write_weights

    check_writable(path)
    check_apart(path, [spec_path])
    check_target(path, overwrite)
    network = load_spec(spec_path).network
    network.build(input_shape(network, channels, shape), seed=seed)
    write_weights(path, network, overwrite)
    print_arrays(path, rows_of(named_weights(network)), as_json, notes=[])


def input_shape(network: Any, channels: int | None, shape: str | None) -> tuple[int | None, ...]:
    """Return the shape of a network's input: as asked for, else as it declares, with None for what is not known."""
    from conv3d_cli.cli.words import shape_words
    from conv3d_cli.errors import UsageError

    first = network.data_format == "channels_first"
    declared = next((layer.batch_input_shape for layer in network if layer.batch_input_shape), (None,) * 5)
    space = (declared[-3:] if first else declared[-4:-1]) if shape is None else shape_words(shape, "--input-shape")
    if len(space) != 3:
        raise UsageError(f"--input-shape: not three lengths: got {shape!r}, expected for example 64x64x32")
    channels = channels or declared[-4 if first else -1] or 1
    return (None, channels, *space) if first else (None, *space, channels)


def rows_of(arrays: Any) -> list[dict[str, Any]]:
    """Return what is printed of each array."""
    from conv3d_cli.weights import describe

    return [{**asdict(row), "shape": list(row.shape)} for row in describe(arrays)]


def print_arrays(path: str, rows: list[dict[str, Any]], as_json: bool, **more: Any) -> None:
    """Print one row for each array, then what ``more`` says: notes as lines, other things in the JSON alone."""
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.report.table import render_rows
    from conv3d_cli.report.words import printable

    if as_json:
        print_json({"path": path, "arrays": rows, **more})
        return
    render_rows(path, rows)
    for note in more.get("notes", ()):
        click.echo(printable(f"note: {note}"))
