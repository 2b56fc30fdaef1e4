"""How a separable convolution is cut into tiles, and what that costs.

A tile of a few output planes goes through the volume row by row. Its ring of rows has to stay in the second-level
cache; the planes that it reads beyond its own are read by its neighbours too, out of the third-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, prod
from typing import TypeAlias

from conv3d_cli.engine.direct_costs import COSTS as DIRECT_COSTS
from conv3d_cli.engine.direct_layout import tile_of
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple, effective

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
    options = (_laid_out(problem, tile, terms, threads, isa, box) for tile in _tiles(problem, isa))
    return min(options, key=lambda layout: layout.seconds)


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


def _laid_out(problem: Problem, tile: Triple, terms: int, threads: int, isa: str, box: Boxes) -> Layout:
    vector_bytes, size = tile_of(isa).vector_bytes, ITEMSIZE[problem.dtype]
    lanes = vector_bytes // size
    k, s = problem.kernel, problem.strides
    reach = [effective(n, d) - 1 for n, d in zip(k, problem.dilation, strict=True)]
    planes, rows, columns = ((n - 1) * s[i] + reach[i] + 1 for i, n in enumerate(tile))
    read, length = _columns(problem, tile[2], columns)
    pitch = ceil(read / lanes) + 1  # in vectors, as line
    line = ceil(length / lanes) + 2
    ring_planes = ceil(tile[0] / STEP) * STEP if box[0] else tile[0]
    ring = terms * ring_planes * ((min(tile[1], STEP) - 1) * s[1] + reach[1] + 1) * pitch
    vectors = planes * pitch + ring + (terms * STEP + 4) * line + pitch
    pointers = 8 * (2 * planes + k[0] + terms * (k[1] + STEP) + STEP) + 128
    costs = COSTS[isa]
    far = FAR if vectors * vector_bytes > 0.8 * second_level_cache() else 1.0
    taps = [_adds(n) if boxed else n for n, boxed in zip(k, box, strict=True)]
    copy = FAR_COPY if planes * rows * columns * size > second_level_cache() else COPY
    planes_in, rows_in = min(planes, problem.size[0]), rows if problem.bounded else min(rows, problem.size[1])
    channels = min(terms, problem.channels // problem.groups)
    stored = read / lanes
    of_input_row = channels * planes_in * (stored * copy + LINE) + terms * tile[0] * (
        stored * (taps[0] * costs.across + costs.vector) + LINE / 4
    )
    along = 1 if box[2] else terms
    of_output_row = stored * (terms * taps[1] * costs.across * far + costs.vector) + LINE
    of_output_row += columns / lanes * (along * taps[2] * costs.along + costs.vector) + LINE
    item = rows_in * of_input_row + tile[0] * tile[1] * of_output_row + ITEM
    counts = [ceil(n / t) for n, t in zip(problem.output_size, tile, strict=True)]
    items = problem.batch * problem.filters * prod(counts)
    used = min(threads, items)
    memory = problem.output_bytes * BYTE / min(used, MEMORY_THREADS)
    starts = DIRECT_COSTS[isa].threads * used if used > 1 else 0.0
    return Layout(tile, vectors * vector_bytes + pointers, ceil(items / used) * item + memory + starts)


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
