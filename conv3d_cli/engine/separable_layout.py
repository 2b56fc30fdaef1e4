"""How a separable convolution is cut into tiles, and what that costs.

A tile of rows and columns marches along D with a ring of planes, which has to stay in the second-level cache; what a
tile reads beyond its own rows and columns is read again by its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from conv3d_cli.engine.direct_costs import COSTS as DIRECT_COSTS
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.direct_layout import tile_of
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple, effective

ROWS = 4  # summed at once
PACK = 0.15e-9  # an element of the slab
LINE = 30e-9  # beginning a row
PLANE = 0.3e-6
ITEM = 3e-6
FAR = 2.0  # how much slower sums are whose ring lies outside of the second-level cache


@dataclass(frozen=True)
class Costs:
    """Seconds on one core for a vector: to add it with a weight across rows, or along them, and to begin and store."""

    across: float
    along: float
    vector: float


COSTS = {
    "x86-64-v4": Costs(0.3e-9, 0.55e-9, 3e-9),
    "x86-64-v3": Costs(0.15e-9, 0.32e-9, 2.3e-9),
    "x86-64-v2": Costs(0.26e-9, 0.32e-9, 2e-9),
    "generic": Costs(0.26e-9, 0.32e-9, 2e-9),
}
"""Measured once, on two Zen 4 cores."""


@dataclass(frozen=True)
class Layout:
    """Output planes, rows and columns of a tile; bytes of one thread's scratch; predicted seconds."""

    tile: Triple
    scratch_bytes: int
    seconds: float


@lru_cache(maxsize=256)
def layout_of(problem: Problem, terms: int, threads: int, isa: str) -> Layout:
    """Return the layout with the least predicted time for kernels of so many terms a filter."""
    options = (_laid_out(problem, tile, terms, threads, isa) for tile in _tiles(problem, isa))
    return min(options, key=lambda layout: layout.seconds)


def _tiles(problem: Problem, isa: str) -> Iterator[Triple]:
    depth, height, width = problem.output_size
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    for columns in _splits(width, lanes, (1, 2, 4, 8, 16, 32)):
        for rows in _splits(height, ROWS, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)):
            for planes in _splits(depth, ROWS, (1, 2, 4, 8)):
                yield planes, rows, columns


def _splits(size: int, unit: int, parts: tuple[int, ...]) -> list[int]:
    """Return the sizes of nearly equal parts, multiples of ``unit`` but for a whole."""
    return sorted({min(ceil(size / (n * unit)) * unit, size) for n in parts}, reverse=True)


def _laid_out(problem: Problem, tile: Triple, terms: int, threads: int, isa: str) -> Layout:
    vector_bytes, size = tile_of(isa).vector_bytes, ITEMSIZE[problem.dtype]
    lanes = vector_bytes // size
    k, s = problem.kernel, problem.strides
    reach = [effective(n, d) - 1 for n, d in zip(k, problem.dilation, strict=True)]
    pitch = ceil(tile[2] / lanes)  # in vectors, as wide
    wide = pitch + ceil(reach[2] / lanes) + 1
    slab_rows = (tile[1] - 1) * s[1] + reach[1] + 1
    ring = (ROWS - 1) * s[0] + reach[0] + 1
    plane = tile[1] * pitch + 1
    vectors = (slab_rows + ROWS) * wide + (terms * ring + 1) * plane + ROWS * pitch
    pointers = 8 * (terms * (k[0] + ROWS) + k[1] + ROWS) + 128
    far = FAR if vectors * vector_bytes > 0.8 * second_level_cache() else 1.0
    costs, memory_costs = COSTS[isa], DIRECT_COSTS[isa]
    planes_in = min((tile[0] - 1) * s[0] + reach[0] + 1, problem.size[0])
    channels = min(terms, problem.channels // problem.groups)
    sums = tile[1] * (
        wide * (k[1] * costs.across + costs.vector) + pitch * (k[2] * costs.along + costs.vector) + 2 * LINE
    )
    each_in = channels * slab_rows * wide * lanes * PACK + terms * (sums + PLANE)
    each_out = tile[1] * (pitch * (terms * k[0] * costs.across * far + costs.vector) + LINE) + PLANE
    item = planes_in * each_in + tile[0] * each_out + ITEM
    counts = [ceil(n / t) for n, t in zip(problem.output_size, tile, strict=True)]
    items = problem.batch * problem.filters * prod(counts)
    used = min(threads, items)
    again = problem.filters / problem.groups * planes_in * counts[0] / max(problem.size[0], 1)
    read = problem.input_bytes * max(again * slab_rows * counts[1] / max(problem.size[1], 1), 1.0)
    memory = (read + problem.output_bytes) * memory_costs.byte / min(used, MEMORY_THREADS)
    starts = memory_costs.threads * used if used > 1 else 0.0
    return Layout(tile, vectors * vector_bytes + pointers, ceil(items / used) * item + memory + starts)
