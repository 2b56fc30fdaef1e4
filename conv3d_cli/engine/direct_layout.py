"""How a direct convolution is cut into blocks, and where a block's slab keeps the positions that it reads.

A block of outputs reads a window of the input. The window is packed into a slab in which output ``o``
finds the value for tap ``k`` of an axis at ``slots[k] + o``, whatever stride, dilation and padding are:
positions one stride apart lie next to each other, in bands. Taps whose positions overlap share a band; taps
far apart have bands of their own, so that what no output reads takes no room.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, prod
from typing import TYPE_CHECKING

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.direct_costs import COSTS, MEMORY_THREADS, Costs
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096
MAX_SPLITS = 64
STREAM_BYTES = 8 << 20  # outputs of so many bytes go past the cache, if that pays
LINE = 64
PIECE = 0.1e-6  # seconds for a row of a block that is part of a row: memory is read and written in short runs
NEAR = 1.5  # halves of the second-level cache that a slab may take beside outputs and weights
FAR = 2.0  # how much slower a tile is whose slab lies outside of the second-level cache


@frozen
class Tile:
    """A kernel's register tile: bytes of a vector, most filters, most rows for 1, 2, 4, 8 filters, longest column."""

    vector_bytes: int
    filters: int
    rows: tuple[int, ...]
    column: int


@frozen
class Axis:
    """One axis: its blocks, and its entries in the slab. A band is ``(position, start, length)``."""

    size: int
    outputs: int
    block: int
    stride: int
    before: int
    extent: int
    bands: tuple[tuple[int, int, int], ...]
    slots: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """Blocks along the axis."""
        return -(-self.outputs // self.block)


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


def axis_of(problem: Problem, index: int, block: int, align: int = 1) -> Axis:
    """Return one axis of a problem, cut into blocks; each band starts at a multiple of ``align`` entries.

    >>> axis_of(Problem((9, 9, 9), (3, 3, 3), strides=(2, 2, 2)), 0, block=4).bands
    ((0, 0, 5), (1, 5, 4))
    """
    stride, dilation = problem.strides[index], problem.dilation[index]
    taps = sorted((k * dilation % stride, k * dilation // stride, k) for k in range(problem.kernel[index]))
    bands: list[tuple[int, int, int]] = []
    slots = [0] * len(taps)
    phase, first, start, end = -1, 0, 0, 0
    for p, q, k in taps:
        if p != phase or q > first + (end - start):
            if phase >= 0:
                bands.append((first * stride + phase, start, end - start))
            phase, first, start = p, q, -(-end // align) * align
        end = start + q - first + block
        slots[k] = start + q - first
    bands.append((first * stride + phase, start, end - start))
    return Axis(
        problem.size[index],
        problem.output_size[index],
        block,
        stride,
        problem.padding[index][0],
        -(-end // align) * align,
        tuple(bands),
        tuple(slots),
    )


@lru_cache(maxsize=8)
def tile_of(isa: str) -> Tile:
    """Return the register tile of an instruction set; a typical one where the kernels are not built."""
    module = isas.native()
    return Tile(*module.tile(isa)) if module is not None else Tile(16, 4, (8, 4, 3, 1), 7)


@lru_cache(maxsize=256)
def layout_of(problem: Problem, threads: int, isa: str, planar: bool = True, portion: float = 1.0) -> Layout:
    """Return the layout with the least predicted time; ``planar`` says that the output's W has stride 1.

    ``portion`` is what is left of the multiply-adds where the kernel's values save some.

    What the result's bits depend on, the chunk of channels, does not depend on the number of threads.
    """
    tile = tile_of(isa)
    lanes = tile.vector_bytes // ITEMSIZE[problem.dtype]
    room = second_level_cache() // 2 // ITEMSIZE[problem.dtype]
    chunk = _channel_chunk(problem, lanes, room)
    best: Layout | None = None
    costs = COSTS[isa].of_portion(portion)
    for filter_chunk in _filter_chunks(problem, tile, threads):
        for axes in _candidates(problem, tile, lanes, room // chunk, threads):
            layout = _finish(problem, tile, lanes, axes, chunk, filter_chunk, threads, room, planar, costs)
            if best is None or layout.seconds < best.seconds:
                best = layout
    assert best is not None
    return best


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


def _splits(outputs: int, unit: int) -> list[int]:
    """Sizes of nearly equal blocks along an axis, in multiples of ``unit``, largest first."""
    sizes = {
        min(-(-outputs // (parts * unit)) * unit, outputs)
        for parts in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, MAX_SPLITS)
    }
    sizes.add(min(unit, outputs))
    return sorted(sizes, reverse=True)


def _candidates(problem: Problem, tile: Tile, lanes: int, room: int, threads: int) -> Iterator[tuple[Axis, Axis, Axis]]:
    """For each width and height of a block the depths that fill the cache, with blocks for all threads."""
    depth, height, width = problem.output_size
    rows = tile.rows[min(tile.filters, problem.filters // problem.groups).bit_length() - 1]
    depths = [axis_of(problem, 0, n) for n in _splits(depth, 1)]
    heights = [axis_of(problem, 1, n) for n in _splits(height, rows)]
    for n in _splits(width, 3 * lanes)[:8]:
        across = axis_of(problem, 2, n, lanes)
        for down in heights:
            fitting = [a for a in depths if a.extent * down.extent * across.extent <= room]
            others = across.blocks * down.blocks * problem.batch * problem.groups
            parallel = [a for a in depths if a.blocks * others >= threads]
            both = [a for a in parallel if a in fitting]
            for a in {*fitting[:1], *both[:2], *parallel[:1], *([] if fitting else depths[-1:])}:
                yield a, down, across


def _finish(
    problem: Problem,
    tile: Tile,
    lanes: int,
    axes: tuple[Axis, Axis, Axis],
    channel_chunk: int,
    filter_chunk: int,
    threads: int,
    room: int,
    planar: bool,
    costs: Costs,
) -> Layout:
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    slab = _pitches(axes[2].extent, axes[1].extent, axes[0].extent, lanes, ITEMSIZE[problem.dtype])
    width = -(-axes[2].block // lanes) * lanes
    out = _pitches(width, axes[1].block, axes[0].block, lanes, ITEMSIZE[problem.dtype])
    items = problem.batch * problem.groups * prod(a.blocks for a in axes) * -(-filters // filter_chunk)
    columns = problem.dilation[1] == problem.strides[1]
    kind = "column" if filters == 1 and columns else str(min(1 << (filters.bit_length() - 1), 8))
    used = min(threads, items)
    # The last block of an axis may be smaller: where there are many blocks, what counts is their mean.
    depth, height, across = (a.block if items <= threads else a.outputs / a.blocks for a in axes)
    rows = depth * height * ceil(across / lanes)
    fmas = rows * problem.taps * channels * min(filter_chunk, filters)
    lane_scale = 4 / ITEMSIZE[problem.dtype]
    packed = _entries(axes[0], depth) * _entries(axes[1], height) * slab[0]
    far = FAR if slab[2] * channel_chunk > room * NEAR else 1.0
    kept = 0.0 if planar else costs.unpack * depth * height * across * filter_chunk
    if not planar and out[2] * filter_chunk > room:
        kept *= FAR
    per_item = (
        costs.fma[kind] * fmas * far
        + costs.store * rows * min(filter_chunk, filters) * -(-channels // channel_chunk)
        + costs.pack * packed * channels / lane_scale
        + kept
        + PIECE * _pieces(axes, channels, min(filter_chunk, filters))
        + costs.item
    )
    rounds = -(-items // used)
    memory = (problem.input_bytes + problem.output_bytes) * costs.byte
    seconds = (
        max(per_item * rounds, 0.0) + memory / min(used, MEMORY_THREADS) + (costs.threads * used if used > 1 else 0.0)
    )
    stream = planar and channel_chunk == channels and _streams(problem)
    return Layout(axes, channel_chunk, filter_chunk, slab, out, columns, stream, items, seconds)


def _entries(axis: Axis, outputs: float) -> float:
    """Return the entries of the slab that so many outputs read, on average."""
    return axis.extent - len(axis.bands) * (axis.block - outputs)


def _pieces(axes: tuple[Axis, Axis, Axis], channels: int, filters: int) -> int:
    """Return the rows that a block reads and writes, if they are parts of longer rows."""
    depth, height, width = axes
    if width.blocks == 1:
        return 0
    return channels * depth.extent * height.extent + filters * depth.block * height.block


def _streams(problem: Problem) -> bool:
    """Whether stores past the cache pay: for large outputs of rows in whole lines, of one filter.

    The stores of a row come in a burst. Several filters leave the caches time to write back what they hold, and are
    slower with bursts; lines shared by two rows are read after all.
    """
    lines = problem.output_size[2] * ITEMSIZE[problem.dtype] % LINE == 0
    return lines and problem.filters == problem.groups and problem.output_bytes >= STREAM_BYTES


def _pitches(width: int, height: int, depth: int, lanes: int, itemsize: int) -> tuple[int, int, int]:
    """Row, plane and volume in elements; none a multiple of a page, which would crowd into one cache set."""
    row = width if width * itemsize % PAGE else width + lanes
    plane = row * height
    plane = plane if plane * itemsize % PAGE else plane + lanes
    volume = plane * depth
    return row, plane, volume if volume * itemsize % PAGE else volume + lanes
