"""``conv3d filters``: what filters there are, and what kernel one makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import LayerError, UnknownArgument, UsageError

if TYPE_CHECKING:
    from conv3d_cli.filters import Filter, Grid, Kernel

#: Kernels of at most so many voxels are printed whole unasked.
SMALL = 125


@click.group(invoke_without_command=True)
@options.JSON
@click.pass_context
def filters(context: click.Context, as_json: bool) -> None:
    """List the filters, with their parameters and formulas, or show the kernel of one.

    Lengths have their unit: 6mm, 500um, 2vox, or 1x1x2mm along x, y and z. Kernels are not flipped: this is
    correlation, as everywhere here, and as in scipy.ndimage's filters.

    \b
    Example:
      conv3d filters
      conv3d filters show gaussian:fwhm=6mm --spacing 1x1x3mm
      conv3d apply brain.nii.gz smooth.nii.gz --filter gaussian:fwhm=6mm
    """
    if context.invoked_subcommand is not None:
        return
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.filters.filter import written
    from conv3d_cli.filters.table import ALIASES, ROWS
    from conv3d_cli.report.table import render_rows

    rows: list[dict[str, Any]] = []
    for name, row in ROWS.items():
        also = [alias for alias, of in ALIASES.items() if of == name]
        parameters = {key: parameter.default for key, parameter in row.parameters.items()}
        rows.append(
            {"name": name, "aliases": also, "meaning": row.meaning, "formula": row.formula, "parameters": parameters}
        )
    if as_json:
        print_json(rows)
        return
    shown = [
        {
            "filter": ", ".join([row["name"], *row["aliases"]]),
            "arguments": ", ".join(
                key if value is None else f"{key}={written(value)}" for key, value in row["parameters"].items()
            ),
            "formula": row["formula"],
        }
        for row in rows
    ]
    render_rows("", shown)


@filters.command()
@click.argument("text", metavar="NAME:KEY=VALUE,...")
@click.option(
    "--spacing", metavar="LENGTH", help="Size of a voxel along x, y and z, e.g. 1x1x3mm.  [default: not known]"
)
@click.option("--like", metavar="REF", help="Take spacing and angles of the voxels from a volume.")
@click.option("--planes", is_flag=True, help="Print every plane of a kernel of more than 125 voxels.")
@click.option("-o", "--output", "path", metavar="OUT", help="Write the kernel: .npy, .nii, .nii.gz or HDF5.")
@options.OVERWRITE
@options.JSON
def show(
    text: str,
    spacing: str | None,
    like: str | None,
    planes: bool,
    path: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Print the kernel of a filter: planes of constant z, with y downwards and x to the right.

    Of a large one the lines through its middle are printed, along x, y and z.

    \b
    Example:
      conv3d filters show sobel:axis=x
      conv3d filters show gaussian:fwhm=6mm --spacing 1x1x3mm -o kernel.nii.gz
    """
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.filters import Filter

    if spacing is not None and like is not None:
        raise UsageError("--spacing: got it beside --like, expected one of them")
    if path == "-" and as_json:
        raise UsageError("output: '-' and --json both write to standard output, expected one of them")
    grid = _grid(spacing, like)
    try:
        found = Filter.parse(text)
        kernel = found.kernel(grid)
    except (LayerError, UnknownArgument) as error:
        raise UsageError(str(error)) from None
    if path is not None:
        _write(kernel, grid, path, overwrite)
    if as_json:
        print_json(_document(found, kernel, grid))
    elif path != "-":
        _print(found, kernel, grid, planes)


def _grid(spacing: str | None, like: str | None) -> Grid:
    from conv3d_cli.filters import Grid
    from conv3d_cli.pipeline import grid_of, kernels_in

    if like is not None:
        from conv3d_cli.volumes import open_volume, resolve_axes

        with open_volume(like) as volume:
            geometry = volume.geometry_for(resolve_axes(volume.format, len(volume.shape)))
        return grid_of(geometry, "zyx", kernels_in())
    if spacing is None:
        return Grid("zyx", load=kernels_in(), remedy=", or a spacing by --spacing or --like")
    x, y, z, unit = _spacing(spacing)
    return Grid("zyx", (z, y, x), unit, load=kernels_in())


def _spacing(text: str) -> tuple[float, float, float, str]:
    from conv3d_cli.lengths import Length

    try:
        length = Length.parse(text)
    except ValueError as error:
        raise UsageError(f"--spacing: {error}: got {text!r}, expected such as 1x1x3mm") from None
    if length.physical is None or len(set(length.units)) > 1 or min(length.values) <= 0:
        raise UsageError(f"--spacing: got {text!r}, expected three lengths above 0 in mm, um or m, such as 1x1x3mm")
    return (*length.values, length.physical)


def _write(kernel: Kernel, grid: Grid, path: str, overwrite: bool) -> None:
    """Write the kernel as a volume around the origin, several parts as channels."""
    import numpy as np

    from conv3d_cli.volumes import Geometry, Volume, check_output, save_volume

    check_output(path, overwrite, dtype="float64")
    geometry = None
    if grid.spacing is not None:
        steps = np.array([grid.spacing[grid.axes.index(axis)] for axis in "xyz"])
        middle = -steps * [kernel.size[grid.axes.index(axis)] // 2 for axis in "xyz"]
        affine = np.diag([*steps, 1.0])
        affine[:3, 3] = middle
        geometry = Geometry(affine, grid.unit)
    array = np.moveaxis(kernel.values, 0, -1)
    several = len(kernel.parts) > 1
    save_volume(
        Volume(array if several else array[..., 0], grid.axes + ("c" if several else ""), geometry),
        path,
        "float64",
        overwrite,
    )


def _document(found: Filter, kernel: Kernel, grid: Grid) -> dict[str, Any]:
    spacing = None if grid.spacing is None else [grid.spacing[grid.axes.index(axis)] for axis in "xyz"]
    return {
        "filter": found.text,
        "class_name": found.name,
        "config": found.plain(),
        "spacing": spacing,
        "unit": None if spacing is None else grid.unit,
        "axes": grid.axes,
        "size": list(kernel.size),
        "lost": kernel.lost,
        "per": kernel.per,
        "kernels": [
            {"part": part, "sum": float(values.sum()), "values": values.tolist()}
            for part, values in zip(kernel.parts, kernel.values, strict=True)
        ],
    }


def _print(found: Filter, kernel: Kernel, grid: Grid, planes: bool) -> None:
    import numpy as np

    from conv3d_cli.report.words import lengths, number, printable
    from conv3d_cli.weights import kernel_text

    size = lengths([kernel.size[grid.axes.index(axis)] for axis in "xyz"])
    facts = [f"{size} voxels of {grid.words}" if grid.spacing else f"{size} voxels", f"per {kernel.per}"]
    if kernel.lost:
        facts.append(f"{kernel.lost:.2g} of it cut off")
    click.echo(printable(f"{found.text}: {', '.join(fact for fact in facts if fact != 'per 1')}"))
    click.echo(f"{found.row.formula}")
    for part, values in zip(kernel.parts, kernel.values, strict=True):
        click.echo(f"\n{part + ': ' if part else ''}sum {number(round(float(values.sum()), 12) + 0.0)}")
        if planes or values.size <= SMALL:
            for line in kernel_text(values):
                click.echo(line)
            continue
        middle = [n // 2 for n in values.shape]
        for axis in "xyz":
            at = grid.axes.index(axis)
            where = tuple(slice(None) if i == at else m for i, m in enumerate(middle))
            (line,) = kernel_text(np.asarray(values[where])[None, None])
            click.echo(f"  {axis} {line}")
