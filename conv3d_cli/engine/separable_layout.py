"""How a separable convolution is cut into tiles, and what that costs.

A tile of a few output planes goes through the volume row by row. Its ring of rows has to stay in the second-level
cache; the planes that it reads beyond its own are read by its neighbours too, out of the third-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from conv3d_cli.engine.direct_costs import COSTS as DIRECT_COSTS
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import tile_of
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple, effective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.float64]

STEP = 8  # rows for which sums along D are kept together, and outputs that a box shares sums between
LINE = 12e-9  # beginning a row of the slab, of sums along H or W
COPY = 2.5e-9  # a vector of the slab
FAR_COPY = 4e-9  # the same where the planes of a tile do not fit in the second-level cache
ITEM = 2e-6
FAR = 1.6  # how much slower sums are whose ring lies outside of the second-level cache
BYTE = 0.04e-9  # one core: a byte of output, written to memory
MEMORY_THREADS = 1.6  # how much faster than one thread two or more write memory
BOX_TAPS = 16  # from so many on equal weights are summed as a box
NO_BOX = (False, False, False)

Boxes: TypeAlias = tuple[bool, bool, bool]


@frozen
class Costs:
    """Seconds on one core for a vector: to add it with a weight across rows, or along them, and to begin and store."""

    across: float
    along: float
    vector: float


COSTS = {
    "x86-64-v4": Costs(0.3e-9, 0.4e-9, 2e-9),
    "x86-64-v3": Costs(0.14e-9, 0.22e-9, 0.6e-9),
    "x86-64-v2": Costs(0.26e-9, 0.3e-9, 0.8e-9),
    "generic": Costs(0.26e-9, 0.3e-9, 0.8e-9),
}
"""Measured once, on two Zen 3 cores; those of other instruction sets by the same reasoning."""


@frozen
class Layout:
    """Output planes, rows and columns of a tile; bytes of one thread's scratch; predicted seconds."""

    tile: Triple
    scratch_bytes: int
    seconds: float


@lru_cache(maxsize=256)
def layout_of(problem: Problem, terms: int, threads: int, isa: str, box: Boxes = NO_BOX) -> Layout:
    """Return the layout with the least predicted time for kernels of so many terms a filter.

    ``box`` says along which axes all weights are equal and summed as such.
    """
    tiles = np.array(list(_tiles(problem, isa)), np.float64)
    scratch, seconds = _predicted(problem, tiles, terms, threads, isa, box)
    best = int(seconds.argmin())
    planes, rows, columns = (int(n) for n in tiles[best])
    return Layout((planes, rows, columns), int(scratch[best]), float(seconds[best]))


def box_allowed(problem: Problem) -> Boxes:
    """Return the axes along which equal weights can be summed as a box: long ones, without gaps between outputs."""
    d, h, w = (n >= BOX_TAPS for n in problem.kernel)
    s, r = problem.strides, problem.dilation
    return d and s[0] == r[0], h and s[1] == r[1], w


def _tiles(problem: Problem, isa: str) -> Iterator[Triple]:
    depth, height, width = problem.output_size
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    for columns in _splits(width, lanes, (1, 2, 4, 8, 16)):
        for rows in _splits(height, STEP, (1, 2, 4, 8)):
            for planes in sorted({min(depth, n) for n in (4, 8, 12, 16, 24, 32, 48, 64)}):
                yield planes, rows, columns


def _splits(size: int, unit: int, parts: tuple[int, ...]) -> list[int]:
    """Return the sizes of nearly equal parts, multiples of ``unit`` but for a whole."""
    return sorted({min(ceil(size / (n * unit)) * unit, size) for n in parts}, reverse=True)


def _predicted(
    problem: Problem, tiles: Counts, terms: int, threads: int, isa: str, box: Boxes
) -> tuple[Counts, Counts]:
    """Return the bytes of one thread's scratch and the seconds for each tile, a row of ``tiles``.

    Counts are float64: those of a kernel that reaches far pass 64 bits.
    """
    vector_bytes, size = tile_of(isa).vector_bytes, ITEMSIZE[problem.dtype]
    lanes = vector_bytes // size
    k, s = problem.kernel, problem.strides
    reach = [effective(n, d) - 1 for n, d in zip(k, problem.dilation, strict=True)]
    deep, high, wide = tiles.T
    planes, rows, columns = (tiles - 1).T * np.array(s)[:, None] + np.array(reach)[:, None] + 1
    read, length = np.array([_columns(problem, int(n), int(m)) for n, m in zip(wide, columns, strict=True)]).T
    pitch = _parts(read, lanes) + 1  # in vectors, as line
    line = _parts(length, lanes) + 2
    ring_planes = _parts(deep, STEP) * STEP if box[0] else deep
    ring = terms * ring_planes * ((np.minimum(high, STEP) - 1) * s[1] + reach[1] + 1) * pitch
    vectors = planes * pitch + ring + (terms * STEP + 4) * line + pitch
    pointers = 8 * (2 * planes + k[0] + terms * (k[1] + STEP) + STEP) + 128
    costs = COSTS[isa]
    far = np.where(vectors * vector_bytes > 0.8 * second_level_cache(), FAR, 1.0)
    taps = [_adds(n) if boxed else n for n, boxed in zip(k, box, strict=True)]
    copy = np.where(planes * rows * columns * size > second_level_cache(), FAR_COPY, COPY)
    planes_in = np.minimum(planes, problem.size[0])
    rows_in = rows if problem.bounded else np.minimum(rows, problem.size[1])
    channels = min(terms, problem.channels // problem.groups)
    stored = read / lanes
    of_input_row = channels * planes_in * (stored * copy + LINE) + terms * deep * (
        stored * (taps[0] * costs.across + costs.vector) + LINE / 4
    )
    along = 1 if box[2] else terms
    of_output_row = stored * (terms * taps[1] * costs.across * far + costs.vector) + LINE
    of_output_row += columns / lanes * (along * taps[2] * costs.along + costs.vector) + LINE
    item = rows_in * of_input_row + deep * high * of_output_row + ITEM
    items = problem.batch * problem.filters * _parts(np.array(problem.output_size), tiles).prod(axis=1)
    used = np.minimum(threads, items)
    memory = problem.output_bytes * BYTE / np.minimum(used, MEMORY_THREADS)
    starts = np.where(used > 1, DIRECT_COSTS[isa].threads * used, 0.0)
    seconds: Counts = _parts(items, used) * item + memory + starts
    return vectors * vector_bytes + pointers, seconds


def _parts(whole: Counts, part: Counts | int) -> Counts:
    """Return how many parts cover a whole."""
    return -(-whole // part)


@lru_cache(maxsize=64)
def _columns(problem: Problem, outputs: int, positions: int) -> tuple[int, int]:
    """Return the most columns of the input that a block of so many outputs reads, and the most that its lines hold."""
    size, (before, after) = problem.size[2], problem.padding[2]
    if not problem.bounded:
        return min(positions, size), positions
    places = problem.boundary.places(size, before, after)
    columns, length = 0, positions
    for first in range(0, problem.output_size[2] * problem.strides[2], outputs * problem.strides[2]):
        read = places[first : first + positions]
        read = read[read >= 0]
        if read.size:
            low, high = int(read.min()), int(read.max()) + 1
            left, right = first - before, first - before + positions
            columns, length = max(columns, high - low), max(length, max(right, high) - min(left, low))
    return columns, length


def _adds(taps: int) -> float:
    """Return the taps that a box costs as much as."""
    return 12 + 0.3 * taps
