"""How a direct convolution is cut into blocks, and where a block's slab keeps the positions that it reads.

A block of outputs reads a window of the input. The window is packed into a slab in which output ``o``
finds the value for tap ``k`` of an axis at ``slots[k] + o``, whatever stride, dilation and padding are:
positions one stride apart lie next to each other, in bands. Taps whose positions overlap share a band; taps
far apart have bands of their own, so that what no output reads takes no room.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.direct_costs import COSTS, MEMORY_THREADS, Costs
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]

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
    chunk = channel_chunk_of(problem, isa)
    costs = COSTS[isa].of_portion(portion)
    ways = _ways(problem, tile, lanes, room // chunk, threads)
    cuts = tuple(_Cuts.of(axes) for axes in zip(*ways, strict=True))
    best: tuple[float, int, int] | None = None
    for filter_chunk in _filter_chunks(problem, tile, threads):
        seconds = _seconds(problem, lanes, cuts, chunk, filter_chunk, threads, room, planar, costs)
        least = int(seconds.argmin())
        if best is None or seconds[least] < best[0]:
            best = float(seconds[least]), least, filter_chunk
    assert best is not None
    return _layout(problem, lanes, ways[best[1]], chunk, best[2], best[0], planar)


def channel_chunk_of(problem: Problem, isa: str) -> int:
    """Return how many channels are summed at a time, which depends on neither the threads nor the kernel's values."""
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    return _channel_chunk(problem, lanes, second_level_cache() // 2 // ITEMSIZE[problem.dtype])


def columns_of(problem: Problem) -> bool:
    """Return whether the taps of a column lie next to each other in the slab, as tiles of one filter sum them."""
    return problem.dilation[1] == problem.strides[1]


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


def splits(outputs: int, unit: int) -> list[int]:
    """Sizes of nearly equal blocks along an axis, in multiples of ``unit``, largest first."""
    sizes = {
        min(-(-outputs // (parts * unit)) * unit, outputs)
        for parts in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, MAX_SPLITS)
    }
    sizes.add(min(unit, outputs))
    return sorted(sizes, reverse=True)


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


class _Cuts(NamedTuple):
    """One axis of many ways to cut a problem: arrays with an entry for each."""

    outputs: int
    block: Counts
    blocks: Counts
    extent: Counts
    bands: Counts

    @classmethod
    def of(cls, axes: Sequence[Axis]) -> _Cuts:
        """Return the cuts along an axis."""
        rows = np.array([(a.block, a.blocks, a.extent, len(a.bands)) for a in axes])
        return cls(axes[0].outputs, *rows.T)

    def mean(self, items: Counts, threads: int) -> NDArray[np.float64]:
        """Return the outputs of a block, which may be smaller at the end of an axis: their mean if blocks are many."""
        return np.where(items <= threads, self.block, self.outputs / self.blocks)

    def entries(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the entries of the slab that so many outputs read, on average."""
        return self.extent - self.bands * (self.block - outputs)


def _seconds(
    problem: Problem,
    lanes: int,
    cuts: tuple[_Cuts, ...],
    channel_chunk: int,
    filter_chunk: int,
    threads: int,
    room: int,
    planar: bool,
    costs: Costs,
) -> NDArray[np.float64]:
    """Return the predicted seconds of each way to cut a problem."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    itemsize, written = ITEMSIZE[problem.dtype], min(filter_chunk, filters)
    row, _, slab = pitches(cuts[2].extent, cuts[1].extent, cuts[0].extent, lanes, itemsize)
    items = cuts[0].blocks * cuts[1].blocks * cuts[2].blocks
    items = items * (problem.batch * problem.groups * -(-filters // filter_chunk))
    kind = "column" if filters == 1 and columns_of(problem) else str(min(1 << (filters.bit_length() - 1), 8))
    used = np.minimum(threads, items)
    depth, height, across = (cut.mean(items, threads) for cut in cuts)
    rows = depth * height * np.ceil(across / lanes)
    fmas = rows * (problem.taps * channels * written)
    packed = cuts[0].entries(depth) * cuts[1].entries(height) * row
    far = np.where(slab * channel_chunk > room * NEAR, FAR, 1.0)
    pieces = channels * cuts[0].extent * cuts[1].extent + written * cuts[0].block * cuts[1].block
    per_item = (
        costs.fma[kind] * fmas * far
        + costs.store * rows * written * -(-channels // channel_chunk)
        + costs.pack * packed * channels * (itemsize / 4)
        + PIECE * np.where(cuts[2].blocks == 1, 0, pieces)  # rows that are parts of longer ones
        + costs.item
    )
    if not planar:
        _, _, out = pitches(lined(cuts[2].block, lanes), cuts[1].block, cuts[0].block, lanes, itemsize)
        kept = costs.unpack * filter_chunk * depth * height * across
        per_item += kept * np.where(out * filter_chunk > room, FAR, 1.0)
    memory = (problem.input_bytes + problem.output_bytes) * costs.byte
    started = np.where(used > 1, costs.threads * used, 0.0)
    seconds: NDArray[np.float64] = per_item * -(-items // used) + memory / np.minimum(used, MEMORY_THREADS) + started
    return seconds


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


def whole(pitches: tuple[Any, Any, Any]) -> Triple:
    """Return pitches as whole numbers of Python."""
    row, plane, volume = map(int, pitches)
    return row, plane, volume


def _streams(problem: Problem) -> bool:
    """Whether stores past the cache pay: for large outputs of rows in whole lines, of one filter.

    The stores of a row come in a burst. Several filters leave the caches time to write back what they hold, and are
    slower with bursts; lines shared by two rows are read after all.
    """
    lines = problem.output_size[2] * ITEMSIZE[problem.dtype] % LINE == 0
    return lines and problem.filters == problem.groups and problem.output_bytes >= STREAM_BYTES


def lined(width: Any, lanes: int) -> Any:
    """Return a width in whole vectors."""
    return -(-width // lanes) * lanes


def pitches(width: Any, height: Any, depth: Any, lanes: int, itemsize: int) -> tuple[Any, Any, Any]:
    """Row, plane and volume in elements; none a multiple of a page, which would crowd into one cache set.

    Numbers, or arrays of them.
    """
    row = _off_page(width, lanes, itemsize)
    plane = _off_page(row * height, lanes, itemsize)
    return row, plane, _off_page(plane * depth, lanes, itemsize)


def _off_page(elements: Any, lanes: int, itemsize: int) -> Any:
    return elements + lanes * (elements * itemsize % PAGE == 0)
