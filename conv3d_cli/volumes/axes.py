"""What each axis of a file means: x y z are space, c channels, t time; b and t are volumes each on its own."""

from __future__ import annotations

from conv3d_cli.errors import UsageError

LETTERS = "xyzctb"
#: By rank. The order is the NIfTI standard's; a file whose fourth axis holds channels has to say so.
NIFTI = {3: "xyz", 4: "xyzt", 5: "xyztc"}


def resolve_axes(
    format: str,  # noqa: A002
    rank: int,
    axes: str | None = None,
    data_format: str = "channels_last",
) -> str:
    """Return one letter for each axis of a file, in its index order: those given, or the format's default.

    NIfTI is xyz, xyzt or xyztc. The others are in C order, so the last spatial axis is x: zyx, and from rank 4 with
    channels where the layer's data_format has them and batch axes in front. UsageError says what does not fit.

    >>> resolve_axes("nifti", 4), resolve_axes("npy", 5), resolve_axes("hdf5", 4, data_format="channels_first")
    ('xyzt', 'bzyxc', 'czyx')
    >>> resolve_axes("nifti", 4, "xyzc")
    'xyzc'
    """
    if axes is None:
        return _default(format, rank, data_format)
    unknown = sorted(set(axes) - set(LETTERS))
    if unknown:
        raise UsageError(f"axes: unknown letter {unknown[0]!r} in {axes!r}, expected letters of 'xyzctb'")
    for letter in "xyz":
        if axes.count(letter) != 1:
            raise UsageError(f"axes: {letter!r} stands {axes.count(letter)} times in {axes!r}, expected once")
    for letter in "ct":
        if axes.count(letter) > 1:
            raise UsageError(f"axes: {letter!r} stands {axes.count(letter)} times in {axes!r}, expected at most once")
    if len(axes) != rank:
        raise UsageError(f"axes: {axes!r} names {len(axes)} axes, expected {rank}, one for each axis of the volume")
    if format == "nifti" and not axes.startswith("xyz"):
        raise UsageError(f"axes: got {axes!r}, expected 'xyz' in front: NIfTI's first three axes are space")
    return axes


def spatial(axes: str) -> str:
    """Return the spatial letters in index order: the layer's dimensions 1, 2 and 3.

    >>> spatial("bzyxc")
    'zyx'
    """
    return "".join(letter for letter in axes if letter in "xyz")


def order_of(first: str, second: str) -> tuple[int, ...]:
    """Return which axis of the second name is each of the first; several of one letter keep their order.

    >>> order_of("xyz", "zyx"), order_of("bbzyx", "bzyxb")
    ((2, 1, 0), (0, 4, 1, 2, 3))
    """
    rest = list(enumerate(second))
    found = []
    for letter in first:
        item = next(item for item in rest if item[1] == letter)
        rest.remove(item)
        found.append(item[0])
    return tuple(found)


def _default(format: str, rank: int, data_format: str) -> str:  # noqa: A002
    if rank < 3:
        raise UsageError(f"axes: the volume has {rank} axes, expected at least 3, those of space")
    if format == "nifti":
        if rank not in NIFTI:
            raise UsageError(f"axes: a NIfTI volume of {rank} axes has no default: name them, such as --axes xyztcb")
        return NIFTI[rank]
    if rank == 3:
        return "zyx"
    return "b" * (rank - 4) + ("czyx" if data_format == "channels_first" else "zyxc")
