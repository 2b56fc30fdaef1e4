"""How a direct sum with a Cook-Toom transform along D is cut into blocks, and what that costs.

Along H and W the blocks are those of the direct method; along D they hold whole tiles. The slab of a block, and what
the transform makes of the planes of one tile, should stay in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, prod

from conv3d_cli.engine.direct_costs import COSTS as DIRECT_COSTS
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.direct_layout import Layout
from conv3d_cli.engine.direct_seconds import PIECE
from conv3d_cli.engine.direct_slab import Axis, axis_of, columns_of, lined, pitches, splits, whole
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import tile_of
from conv3d_cli.engine.winograd_costs import COSTS
from conv3d_cli.engine.winograd_layout import forward_steps, inverse_steps
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.limits import second_level_cache

FULL = 0.8
"""The share of the second-level cache that the slab and its transform may take."""

TILES = (1, 2, 4, 8)
"""Tiles of a block along D, of which the most that fit are taken."""

WIDTHS = 3
"""Widths of a block that are looked at, from the longest on of which a block fits."""


@frozen
class ToomLayout:
    """The blocks of a direct sum, and the elements that a thread needs at most for one of them."""

    direct: Layout
    elements: int

    @property
    def seconds(self) -> float:
        """The predicted time."""
        return self.direct.seconds


@lru_cache(maxsize=256)
def layout_of(problem: Problem, points: int, threads: int, isa: str) -> ToomLayout | None:
    """Return the layout with the least predicted time for so many points, or None if no block fits into the cache.

    Which one it is changes no bit of the result.
    """
    found = [_layout(problem, points, threads, isa, axes) for axes in _ways(problem, points, isa)]
    return min(found, key=lambda layout: layout.seconds, default=None)


def _ways(problem: Problem, points: int, isa: str) -> Iterator[tuple[Axis, Axis, Axis]]:
    """Yield for each width and height of a block the most tiles along D that fit."""
    tile, filters = tile_of(isa), problem.filters // problem.groups
    itemsize, channels = ITEMSIZE[problem.dtype], problem.channels // problem.groups
    lanes, step = tile.vector_bytes // itemsize, points - problem.kernel[0] + 1
    rows = tile.rows[min(tile.filters, filters).bit_length() - 1]
    room = FULL * second_level_cache() / itemsize / channels
    depth, height, width = problem.output_size
    deep = [_depth(problem, n * step) for n in TILES if (n - 1) * step < depth]
    heights = [axis_of(problem, 1, h) for h in splits(height, rows)]
    widths = 0
    for w in splits(width, 3 * lanes):
        across, found = axis_of(problem, 2, w, lanes), False
        for down in heights:
            _, plane, _ = pitches(across.extent, down.extent, 1, lanes, itemsize)
            fitting = [a for a in deep if (a.extent + points) * plane <= room]
            if fitting:
                yield fitting[-1], down, across
                found = True
        widths += found
        if widths == WIDTHS:
            return


def _depth(problem: Problem, block: int) -> Axis:
    """Return the axis of the transform: what a tap is to the others is here one entry, the first of its tile."""
    return replace(axis_of(problem, 0, block), slots=(0,))


def _layout(problem: Problem, points: int, threads: int, isa: str, axes: tuple[Axis, Axis, Axis]) -> ToomLayout:
    itemsize, tile = ITEMSIZE[problem.dtype], tile_of(isa)
    lanes, step = tile.vector_bytes // itemsize, points - problem.kernel[0] + 1
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    slab = whole(pitches(axes[2].extent, axes[1].extent, axes[0].extent, lanes, itemsize))
    line = lined(axes[2].block, lanes)
    out = whole(pitches(line, axes[1].block, axes[0].block, lanes, itemsize))
    items = problem.batch * problem.groups * prod(axis.blocks for axis in axes)
    used = min(threads, items)
    seconds = _item_seconds(problem, points, isa, axes, slab) * ceil(items / used)
    # The input is first looked through for NaN; rows of the output come into the cache before they are written.
    moved = 2 * (problem.input_bytes + problem.output_bytes)
    memory = moved * DIRECT_COSTS[isa].byte / min(used, MEMORY_THREADS)
    started = DIRECT_COSTS[isa].threads * used if used > 1 else 0.0
    direct = Layout(
        axes,
        channels,
        filters,
        slab,
        out,
        columns_of(problem),
        False,  # rows of several planes past the cache: 42 ms in place of 23 (32 channels each by itself, 64^3 by 5^3)
        items,
        seconds + memory + started,
    )
    rows = max(n << i for i, n in enumerate(tile.rows) if 1 << i <= tile.filters)
    transform = points * (channels * slab[1] + rows * line + 2 * lanes) + step * line
    kept = max(filters * out[2], rows * line)  # the outputs of a block, where W has not stride 1
    return ToomLayout(direct, channels * slab[2] + 2 * lanes + transform + kept)


def _item_seconds(
    problem: Problem, points: int, isa: str, axes: tuple[Axis, Axis, Axis], slab: tuple[int, int, int]
) -> float:
    """Return the seconds of a block, those at the ends of the axes smaller: the mean of all."""
    costs, operation = DIRECT_COSTS[isa], COSTS[isa].operation
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    step = points - problem.kernel[0] + 1
    tiles = ceil(problem.output_size[0] / step) / axes[0].blocks
    rows, across = (axis.outputs / axis.blocks for axis in axes[1:])
    vectors = rows * ceil(across / lanes)
    down = axes[1].extent - len(axes[1].bands) * (axes[1].block - rows)
    kind = "column" if filters == 1 and columns_of(problem) else str(min(1 << (filters.bit_length() - 1), 8))
    planes = (axes[0].extent - axes[0].block + tiles * step) * channels
    taps = problem.kernel[1] * problem.kernel[2]
    products = costs.fma[kind] * vectors * points * taps * channels * filters
    pieces = 0 if axes[2].blocks == 1 else channels * axes[0].extent * down + filters * axes[0].block * rows
    return (
        costs.pack * planes * down * slab[0] * (ITEMSIZE[problem.dtype] / 4)
        + tiles * channels * operation * forward_steps(points) * down * slab[0] / lanes
        + tiles * (products + filters * vectors * (points * costs.store + operation * inverse_steps(points, step)))
        + PIECE * pieces
        + costs.item
    )
