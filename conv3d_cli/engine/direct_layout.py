"""How a direct convolution is cut into blocks: the way that takes the least time."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from conv3d_cli.engine.direct_costs import COSTS
from conv3d_cli.engine.direct_seconds import Cuts, seconds_of
from conv3d_cli.engine.direct_slab import Axis, axis_of, columns_of, lined, pitches, splits, whole
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import Tile, tile_of
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM_BYTES = 8 << 20  # outputs of so many bytes go past the cache, if that pays
LINE = 64


@frozen
class Layout:
    """Blocks and chunks of a convolution; ``slab`` and ``out`` hold elements per row, plane and volume."""

    axes: tuple[Axis, Axis, Axis]
    channel_chunk: int
    filter_chunk: int
    slab: tuple[int, int, int]
    out: tuple[int, int, int]
    columns: bool
    stream: bool
    items: int
    seconds: float


@lru_cache(maxsize=256)
def layout_of(problem: Problem, threads: int, isa: str, planar: bool = True, portion: float = 1.0) -> Layout:
    """Return the layout with the least predicted time; ``planar`` says that the output's W has stride 1.

    ``portion`` is what is left of the multiply-adds where the kernel's values save some.

    What the result's bits depend on, the chunk of channels, does not depend on the number of threads.
    """
    tile = tile_of(isa)
    lanes = tile.vector_bytes // ITEMSIZE[problem.dtype]
    room = second_level_cache() // 2 // ITEMSIZE[problem.dtype]
    chunk = channel_chunk_of(problem, isa)
    costs = COSTS[isa].of_portion(portion)
    ways = _ways(problem, tile, lanes, room // chunk, threads)
    cuts = tuple(Cuts.of(axes) for axes in zip(*ways, strict=True))
    best: tuple[float, int, int] | None = None
    for filter_chunk in _filter_chunks(problem, tile, threads):
        seconds = seconds_of(problem, lanes, cuts, chunk, filter_chunk, threads, room, planar, costs)
        least = int(seconds.argmin())
        if best is None or seconds[least] < best[0]:
            best = float(seconds[least]), least, filter_chunk
    assert best is not None
    return _layout(problem, lanes, ways[best[1]], chunk, best[2], best[0], planar)


def channel_chunk_of(problem: Problem, isa: str) -> int:
    """Return how many channels are summed at a time, which depends on neither the threads nor the kernel's values."""
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    return _channel_chunk(problem, lanes, second_level_cache() // 2 // ITEMSIZE[problem.dtype])


def _channel_chunk(problem: Problem, lanes: int, room: int) -> int:
    """Channels whose window of a small block fits into the cache, in chunks of equal size.

    With few filters there is little work to hide the packing behind, so the block has to be larger than its rim.
    """
    channels = problem.channels // problem.groups
    depth, height = (4, 8) if problem.filters // problem.groups >= 4 else (16, 16)
    small = (
        min(depth, problem.output_size[0]),
        min(height, problem.output_size[1]),
        min(4 * lanes, problem.output_size[2]),
    )
    window = prod(axis_of(problem, i, small[i], lanes if i == 2 else 1).extent for i in range(3))
    chunks = -(-channels // max(room // window, 1))
    return -(-channels // chunks)


def _filter_chunks(problem: Problem, tile: Tile, threads: int) -> Iterator[int]:
    """All filters at once, and fewer where there may be too few blocks for the threads."""
    filters = problem.filters // problem.groups
    yield filters
    small = prod(problem.output_size) * problem.batch * problem.groups < 65536 * threads
    while threads > 1 and small and filters > tile.filters:
        filters = -(-filters // (2 * tile.filters)) * tile.filters
        yield filters


@lru_cache(maxsize=64)
def _ways(problem: Problem, tile: Tile, lanes: int, room: int, threads: int) -> list[tuple[Axis, Axis, Axis]]:
    """For each width and height of a block the depths that fill the cache, with blocks for all threads."""
    depth, height, width = problem.output_size
    rows = tile.rows[min(tile.filters, problem.filters // problem.groups).bit_length() - 1]
    depths = [axis_of(problem, 0, n) for n in splits(depth, 1)]
    heights = [axis_of(problem, 1, n) for n in splits(height, rows)]
    blocks = [a.blocks for a in depths]
    ways = []
    for n in splits(width, 3 * lanes)[:8]:
        across = axis_of(problem, 2, n, lanes)
        for down in heights:
            plane, others = down.extent * across.extent, across.blocks * down.blocks * problem.batch * problem.groups
            fitting = [i for i, a in enumerate(depths) if a.extent * plane <= room]
            parallel = [i for i, count in enumerate(blocks) if count * others >= threads]
            both = [i for i in parallel if i in fitting]
            chosen = {*fitting[:1], *both[:2], *parallel[:1], *([] if fitting else [len(depths) - 1])}
            ways += [(depths[i], down, across) for i in sorted(chosen)]
    return ways


def _layout(
    problem: Problem,
    lanes: int,
    axes: tuple[Axis, Axis, Axis],
    channel_chunk: int,
    filter_chunk: int,
    seconds: float,
    planar: bool,
) -> Layout:
    itemsize = ITEMSIZE[problem.dtype]
    slab = pitches(axes[2].extent, axes[1].extent, axes[0].extent, lanes, itemsize)
    out = pitches(lined(axes[2].block, lanes), axes[1].block, axes[0].block, lanes, itemsize)
    filters = problem.filters // problem.groups
    items = problem.batch * problem.groups * prod(a.blocks for a in axes) * -(-filters // filter_chunk)
    stream = planar and channel_chunk == problem.channels // problem.groups and _streams(problem)
    columns = columns_of(problem)
    return Layout(axes, channel_chunk, filter_chunk, whole(slab), whole(out), columns, stream, items, seconds)


def _streams(problem: Problem) -> bool:
    """Whether stores past the cache pay: for large outputs of rows in whole lines, of one filter.

    The stores of a row come in a burst. Several filters leave the caches time to write back what they hold, and are
    slower with bursts; lines shared by two rows are read after all.
    """
    lines = problem.output_size[2] * ITEMSIZE[problem.dtype] % LINE == 0
    return lines and problem.filters == problem.groups and problem.output_bytes >= STREAM_BYTES
