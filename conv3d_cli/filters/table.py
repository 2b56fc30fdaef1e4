"""The table of filters: a row is a name for ``--filter`` and for a spec, with its parameters and its formula."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from conv3d_cli.filters import custom, gaussians, stencils, windows
from conv3d_cli.filters.kinds import DIRECTION, LENGTH, ORDERS, POSITIVE_LENGTH
from conv3d_cli.frozen import frozen
from conv3d_cli.kinds import FLAG, NUMBER, POSITIVE, TEXT, Kind, one_of
from conv3d_cli.named import Parameter, Row, Table


@frozen
class FilterRow(Row):
    """A filter: ``compute`` takes a Grid and the parameters and returns a Kernel; ``formula`` is for people."""

    formula: str = ""


_AXIS = one_of("x", "y", "z", "all", "magnitude")
_COMPONENT = one_of("xx", "xy", "xz", "yy", "yz", "zz", "all")
_UNIT = one_of("vox", "mm", "um", "m").or_none("voxels, where that is clear")

_WIDTH = {
    "sigma": Parameter(None, LENGTH.or_none("what fwhm says")),
    "fwhm": Parameter(None, LENGTH.or_none("what sigma says")),
}
_TRUNCATE = {"truncate": Parameter(None, POSITIVE.or_none("as wide as loses less than 1e-4"))}
_EDGES = {"axis": Parameter("magnitude", _AXIS), "per": Parameter(None, _UNIT)}


def _required(kind: Kind) -> Parameter:
    return Parameter(None, Kind(f"{kind.expected}, there is no default", kind.parse, kind.schema))


def _edges(name: str, weights: str) -> FilterRow:
    return FilterRow(
        partial(stencils.edges, name=name),
        f"edges: difference across a voxel along an axis, smoothed by {weights} along the others",
        _EDGES,
        formula=f"(-1 0 1) along the axis, ({weights}) across; magnitude: sqrt(x^2 + y^2 + z^2)",
    )


_UNSHARP = FilterRow(
    gaussians.unsharp,
    "sharper: adds what a Gaussian takes away",
    {**_WIDTH, "amount": Parameter(1.0, NUMBER), **_TRUNCATE},
    formula="(1 + amount) delta - amount G",
)
_BOX = FilterRow(
    windows.box,
    "mean over a box",
    {"size": Parameter("3vox", POSITIVE_LENGTH)},
    formula="1 / volume inside the box, in part at its rim",
)

ROWS: Mapping[str, FilterRow] = {
    "gaussian": FilterRow(
        gaussians.gaussian,
        "smoothing by a Gaussian, or its derivative of an order along x, y and z",
        {**_WIDTH, "order": Parameter(0, ORDERS), **_TRUNCATE},
        formula="exp(-x^2 / 2 sigma^2) over its sum; fwhm = 2.3548 sigma",
    ),
    "box": _BOX,
    "ball": FilterRow(
        windows.ball,
        "mean over a ball",
        {"radius": _required(POSITIVE_LENGTH)},
        formula="1 / count for voxels whose centres are within the radius",
    ),
    "laplacian": FilterRow(
        stencils.laplacian,
        "sum of second differences",
        {"per": Parameter(None, _UNIT)},
        formula="(1 -2 1) along x, plus along y, plus along z",
    ),
    "log": FilterRow(
        gaussians.laplacian_of_gaussian,
        "blobs: the Laplacian of a Gaussian",
        {**_WIDTH, **_TRUNCATE},
        formula="G_xx + G_yy + G_zz",
    ),
    "dog": FilterRow(
        gaussians.difference_of_gaussians,
        "blobs: a narrow Gaussian less a wide one",
        {
            "low": _required(POSITIVE_LENGTH),
            "high": Parameter(None, POSITIVE_LENGTH.or_none("1.6 times low")),
            **_TRUNCATE,
        },
        formula="G(low) - G(high)",
    ),
    "sobel": _edges("sobel", "1 2 1"),
    "prewitt": _edges("prewitt", "1 1 1"),
    "scharr": _edges("scharr", "3 10 3"),
    "gradient": FilterRow(
        stencils.gradient,
        "slope along x, y and z, or its magnitude; with a width, of the volume smoothed by a Gaussian",
        {**_WIDTH, **_EDGES, **_TRUNCATE},
        formula="(-1 0 1) / 2, or G_x, G_y, G_z; magnitude: sqrt(x^2 + y^2 + z^2)",
    ),
    "unsharp": _UNSHARP,
    "gabor": FilterRow(
        gaussians.gabor,
        "waves of a length in a direction: a Gaussian times a cosine",
        {
            **_WIDTH,
            "wavelength": _required(POSITIVE_LENGTH),
            "direction": Parameter("1x0x0", DIRECTION),
            "phase": Parameter(0.0, NUMBER),
            **_TRUNCATE,
        },
        formula="G(i) cos(2 pi d.i / wavelength + phase), phase in degrees",
    ),
    "hessian": FilterRow(
        gaussians.hessian,
        "second derivatives of a Gaussian",
        {**_WIDTH, "component": Parameter("all", _COMPONENT), **_TRUNCATE},
        formula="G_xx, G_xy, G_xz, G_yy, G_yz, G_zz",
    ),
    "custom": FilterRow(
        custom.custom,
        "a kernel from a file, with its own spacing, resampled to the volume's",
        {
            "file": _required(TEXT),
            "spacing": Parameter(None, POSITIVE_LENGTH.or_none("that of the file")),
            "normalise": Parameter(False, FLAG),
        },
        formula="what of the kernel lies in each voxel",
    ),
}

ALIASES: Mapping[str, str] = {"mean": "box", "sharpen": "unsharp"}

FILTERS = Table("a filter", ROWS, ALIASES, (*ROWS, *ALIASES))
"""Every filter by its name."""
