"""``conv3d weights convert``: the layers of one file into another format or another framework's layout."""

from __future__ import annotations

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import quoted

LAYOUTS = click.Choice(["keras", "torch"])


@click.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", "target", required=True, metavar="OUT", help="The file to write; its suffix says how.")
@click.option("--layer", metavar="NAME", help="Take one layer.  [default: every Conv3D and PReLU]")
@click.option("--from", "layout", type=LAYOUTS, help="Layout of IN.  [default: as its arrays are named]")
@click.option("--to", "wanted", type=LAYOUTS, default="keras", show_default=True, help="Layout of OUT.")
@options.OVERWRITE
@options.JSON
def convert(
    source: str, target: str, layer: str | None, layout: str | None, wanted: str, overwrite: bool, as_json: bool
) -> None:
    """Take Conv3D weights out of any model file.

    IN is .npz, .h5, .weights.h5, .keras or .safetensors, and may be a model with layers that this tool does not run.
    OUT is .npz, .h5, .weights.h5 or .safetensors. PyTorch's kernels (out, in / groups, d, h, w) are named
    `<layer>.weight`, Keras's (d, h, w, in / groups, out) `<layer>/kernel`; a single layer has no name in .npz and
    .safetensors.

    \b
    Example:
      conv3d weights convert unet.keras --layer conv_a -o conv_a.npz
      conv3d weights convert net.safetensors --from torch -o net.weights.h5
    """
    from conv3d_cli.cli.weights import print_arrays, rows_of
    from conv3d_cli.outfile import check_apart, check_target
    from conv3d_cli.weights import FREE, WRITERS, check_writable, read_weights, suffix_of, take, to_torch, write_arrays

    check_writable(target, wanted)
    check_apart(target, [source])
    check_target(target, overwrite)
    weights = read_weights(source)
    taken = take(weights, layer, layout)
    bare = suffix_of(target, WRITERS) in FREE
    arrays = to_torch(taken.arrays, bare) if wanted == "torch" else taken.flat(bare)
    write_arrays(target, arrays, overwrite, wanted)
    notes = list(taken.notes)
    if len(taken.arrays) > 1 and suffix_of(target, WRITERS) not in FREE and not weights.ordered:
        order = ", ".join(taken.arrays)
        notes.append(
            f"Keras goes by the order of layers when it loads this file: it is {order}, as in {quoted(source)}"
        )
    print_arrays(target, rows_of(arrays), as_json, source=source, sha256=weights.sha256, notes=notes)
