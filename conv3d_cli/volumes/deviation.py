"""How far the values of two volumes are apart, found in one walk through both files, slab by slab."""

from __future__ import annotations

from math import inf, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import OverLimit
from conv3d_cli.frozen import field, frozen, mutable
from conv3d_cli.volumes.axes import order_of
from conv3d_cli.volumes.blocks import BLOCK, places, storage_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conv3d_cli.volumes.source import Source

#: Voxels of a slab of either file.
SLAB = 1 << 20
#: Bytes for each voxel of a block that comparing it takes: float64 of both, their distance, what is allowed, masks.
BYTES_OF_A_BLOCK = 64


@frozen
class Tolerance:
    """What two values may be apart: ``|a - b| <= atol + rtol * max(|a|, |b|)``; NaN equals NaN unless told otherwise.

    An infinity equals only itself. ``voxels`` is how far the same voxel may lie apart, in widths of the smallest side
    of a voxel.
    """

    atol: float = 0.0
    rtol: float = 0.0
    nan_equal: bool = True
    voxels: float = 1e-3


@frozen
class Worst:
    """The voxel that is farthest beyond what is allowed: its index in the order of the first file, both values."""

    index: tuple[int, ...]
    a: float
    b: float
    excess: float


@mutable
class Deviation:
    """Counts and extremes of two volumes' values.

    ``unequal`` counts voxels that are not exactly equal, ``beyond`` those beyond the tolerance. ``largest`` and
    ``rms`` are of the finite differences, ``peak`` is the largest finite magnitude in either volume. ``nans`` are the
    NaN that both have at a voxel, that only the first has, and that only the second has.
    """

    voxels: int = 0
    unequal: int = 0
    beyond: int = 0
    largest: float = 0.0
    squares: float = 0.0
    finite: int = 0
    peak: float = 0.0
    nans: list[int] = field(default_factory=lambda: [0, 0, 0])
    worst: Worst | None = None

    @property
    def rms(self) -> float:
        """Root of the mean square of the finite differences."""
        return sqrt(self.squares / max(self.finite, 1))


def compare_values(
    a: Source, b: Source, axes: tuple[str, str], tolerance: Tolerance, limit_bytes: int | None = None
) -> Deviation:
    """Return how far the voxels of two opened volumes are apart, those at the same place along the axes of a name.

    ``axes`` has a letter for each axis of either; the second volume's may stand in another order. Both are read to
    their ends, slab by slab if the same axis varies slowest in both files, and whole otherwise. VolumeError for
    damaged data, OverLimit if that takes more than ``limit_bytes``.

    >>> import os, tempfile
    >>> from conv3d_cli.volumes.formats import open_volume
    >>> names = [os.path.join(tempfile.mkdtemp(), name) for name in ("a.npy", "b.npy")]
    >>> np.save(names[0], np.zeros((2, 3, 4))), np.save(names[1], np.eye(3, 4) * np.ones((2, 1, 1)))
    (None, None)
    >>> with open_volume(names[0]) as a, open_volume(names[1]) as b:
    ...     found = compare_values(a, b, ("zyx", "zyx"), Tolerance(atol=0.5))
    >>> found.beyond, found.largest, found.worst.index
    (6, 1.0, (0, 0, 0))
    """
    order = order_of(*axes)
    together = order[a.slowest] == b.slowest
    sources, most = (a, b), SLAB if together else max(prod(a.shape), prod(b.shape))
    thick = [max(source.slab_of(most) for source in sources) if together else s.shape[s.slowest] for s in sources]
    _check_memory(sources, thick, limit_bytes)
    found, start = Deviation(), 0
    walk = (s.slabs(s.value_dtype, t) for s, t in zip(sources, thick, strict=True))
    for x, y in zip(*walk, strict=True):
        _compare_slabs(x, y.transpose(order), a.slowest, start, tolerance, found)
        start += x.shape[a.slowest]
    return found


def _check_memory(sources: tuple[Source, Source], thick: list[int], limit_bytes: int | None) -> None:
    needed = BYTES_OF_A_BLOCK * BLOCK
    for source, thickness in zip(sources, thick, strict=True):
        share = min(1.0, thickness / source.shape[source.slowest])
        needed += int(prod(source.shape) * share) * source.value_dtype.itemsize + source.extra_bytes(source.value_dtype)
    if limit_bytes is not None and needed > limit_bytes:
        raise OverLimit(f"compare: needs {needed} bytes of memory, allowed are {limit_bytes}", needed)


def _compare_slabs(
    x: NDArray[Any], y: NDArray[Any], axis: int, start: int, tolerance: Tolerance, found: Deviation
) -> None:
    """Add two slabs, of which the first row along an axis has the index ``start``."""
    order = storage_order(x)
    x, y = x.transpose(order), y.transpose(order)
    for where in places(x.shape):
        here = _Block(x[where], y[where], tolerance)
        found.voxels += here.equal.size
        here.add_to(found)
        if here.worst is not None and (found.worst is None or here.worst[0] > found.worst.excess):
            excess, inside = here.worst
            stored = [*where[:-1], where[-1].start + inside[0], *inside[1:]]
            index = [int(stored[order.index(i)]) for i in range(x.ndim)]
            index[axis] += start
            found.worst = Worst(tuple(index), float(here.x[inside]), float(here.y[inside]), excess)


class _Block:
    """Two arrays of one shape, and the voxel of them that is farthest beyond the tolerance, if any differs."""

    def __init__(self, x: NDArray[Any], y: NDArray[Any], tolerance: Tolerance) -> None:
        self.x, self.y, self.tolerance = x, y, tolerance
        self.equal = x == y
        self.worst: tuple[float, tuple[int, ...]] | None = None

    def add_to(self, found: Deviation) -> None:
        """Add what the block has to the counts."""
        magnitude = np.fmax(*(_magnitude(values) for values in (self.x, self.y)))
        found.peak = max(found.peak, float(magnitude.max()))
        if self.equal.all():
            found.finite += self.equal.size
            return
        distance = _distance(self.x, self.y)
        distance[self.equal] = 0.0
        nans = [np.isnan(values) for values in (self.x, self.y)]
        both = nans[0] & nans[1]
        for i, which in enumerate((both, nans[0] & ~both, nans[1] & ~both)):
            found.nans[i] += int(np.count_nonzero(which))
        distance[np.isnan(distance)] = inf
        if self.tolerance.nan_equal:
            distance[both] = 0.0
        finite = np.isfinite(distance)
        found.finite += int(np.count_nonzero(finite))
        found.squares += float(np.square(distance[finite]).sum())
        found.largest = max(found.largest, float(distance[finite].max(initial=0.0)))
        found.unequal += int(np.count_nonzero(distance))
        excess = distance - (self.tolerance.atol + self.tolerance.rtol * magnitude)
        found.beyond += int(np.count_nonzero((excess > 0) & (distance > 0)))
        if distance.any():
            excess[distance == 0] = -inf
            flat = int(excess.argmax())
            place = tuple(int(i) for i in np.unravel_index(flat, excess.shape))
            self.worst = (float(excess[place]), place)


def _magnitude(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the absolute values as float64, 0 for those that are not finite."""
    found: NDArray[np.float64] = np.abs(values.astype(np.float64))
    found[~np.isfinite(found)] = 0.0
    return found


def _distance(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``|x - y|`` in float64, NaN where no difference is defined."""
    with np.errstate(all="ignore"):
        apart: NDArray[np.float64] = np.abs(x.astype(np.float64) - y.astype(np.float64))
        if x.dtype.kind in "iu" and y.dtype.kind in "iu" and x.dtype.itemsize == y.dtype.itemsize == 8:
            # float64 has not all 64 bits. The difference modulo 2^64 has, and falls short only where it wraps around.
            less, more = x.astype(np.uint64), y.astype(np.uint64)
            apart = np.maximum(apart, np.where(x < y, more - less, less - more).astype(np.float64))
    return apart
