"""How a convolution by Cook-Toom tiles is cut into blocks, and what that costs.

A block of tiles goes through three stages: gathered, it fills a slot for each point of H x W, in which the products
replace it, before the outputs are scattered. The slots of one block should not exceed the second-level cache by much.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from math import ceil, prod

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.direct_costs import COSTS as DIRECT_COSTS
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.pages import in_pages
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import tile_of
from conv3d_cli.engine.winograd_costs import COSTS
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
ROOM = 6
"""Second-level caches that a block may take at most, if there are smaller ones."""

LINE = 64
"""Bytes of a line of memory: the channels and filters in one are read and written together."""

POINTS = {1: (1,), 2: (4, 6), 3: (4, 6), 4: (6, 8), 5: (6, 8)}
"""Points of a tile along an axis, by the taps of the kernel."""


@frozen
class Layout:
    """Points and outputs of a tile, tiles of a block, along each axis; what a block needs and all of them cost."""

    points: Triple
    step: Triple
    tiles: Triple
    items: int
    scratch_bytes: int
    seconds: float


def tiles_for(problem: Problem) -> Iterator[Triple]:
    """Yield the points of the tiles worth a thought for a problem's kernel; each yields two outputs at least.

    >>> list(tiles_for(Problem((9, 9, 9), (1, 1, 3))))
    [(1, 1, 4), (1, 1, 6), (1, 1, 8)]
    """
    yield from product(*(POINTS[k] for k in taps(problem)))
    if max(taps(problem)) <= 3:
        d, h, w = (8 if k > 1 else 1 for k in taps(problem))
        yield d, h, w
        if d == h == w:
            yield 6, 8, 6  # what a layer of 3^3 taps still keeps the default accuracy with


def taps(problem: Problem) -> Triple:
    """Return the taps of each axis that a tile serves: with a stride, those of one residue.

    >>> taps(Problem((9, 9, 9), (1, 3, 5), strides=(1, 1, 2)))
    (1, 3, 3)
    """
    d, h, w = (-(-k // s) for k, s in zip(problem.kernel, problem.strides, strict=True))
    return d, h, w


def residues(problem: Problem) -> Triple:
    """Return in how many sub-sampled parts the voxels of each axis are seen: remainders by the stride that have a tap.

    >>> residues(Problem((9, 9, 9), (1, 3, 5), strides=(2, 1, 2)))
    (1, 1, 2)
    """
    d, h, w = (min(k, s) for k, s in zip(problem.kernel, problem.strides, strict=True))
    return d, h, w


def gaps(problem: Problem) -> Triple:
    """Return the dilation of each axis; that of an axis with one tap means nothing.

    >>> gaps(Problem((9, 9, 9), (3, 3, 1), dilation=(1, 2, 5)))
    (1, 2, 1)
    """
    d, h, w = (gap if k > 1 else 1 for gap, k in zip(problem.dilation, problem.kernel, strict=True))
    return d, h, w


def is_local(problem: Problem, points: Triple) -> bool:
    """Return whether no output is computed from inputs outside of its window, as F(2, 3) does with 0, 1, -1, infinity.

    >>> is_local(Problem((9, 9, 9), (3, 3, 1)), (4, 4, 1)), is_local(Problem((9, 9, 9), (2, 3, 3)), (4, 4, 4))
    (True, False)
    >>> is_local(Problem((9, 9, 9), (8, 8, 8), strides=(3, 3, 3)), (4, 4, 4))
    False
    """
    # With a stride some residues have a tap less than their tile serves: it reads a voxel that no tap of theirs sees.
    return problem.strides == (1, 1, 1) and all(
        (n, k) in ((1, 1), (4, 3)) for n, k in zip(points, taps(problem), strict=True)
    )


@lru_cache(maxsize=512)
def layout_of(problem: Problem, points: Triple, threads: int, isa: str) -> Layout:
    """Return the layout with the least predicted time for a tile; which one it is changes no bit of the result."""
    lanes = tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]
    step = _step(problem, points)
    room = ROOM * second_level_cache() // ITEMSIZE[problem.dtype]
    gap = gaps(problem)
    deep, high, wide = (_splits(-(-n // (m * g)), g) for n, m, g in zip(problem.output_size, step, gap, strict=True))
    blocks: list[Triple] = []
    for across, depth in product(wide[-2:], deep[:4]):
        down = [n for n in high if _elements(problem, points, (depth, n, across), lanes) <= room]
        blocks += [(depth, n, across) for n in down[-3:]]
    made = [
        _finish(problem, points, step, tiles, threads, lanes, isa) for tiles in blocks or [(deep[0], high[0], wide[0])]
    ]
    return min(made, key=lambda layout: layout.seconds)


def weight_elements(problem: Problem, points: Triple) -> int:
    """Return how many transformed weights there are, of all groups."""
    return prod(points) * channels_of(problem) * problem.filters


def channels_of(problem: Problem) -> int:
    """Return how many channels of a group the products see: with strides one for each residue."""
    return prod(residues(problem)) * problem.channels // problem.groups


def _busy(problem: Problem, points: Triple) -> float:
    """Return the share of the products that are computed: at infinity only residues with as many taps as the first."""
    share = 1.0
    for n, k, s, r in zip(points, problem.kernel, problem.strides, taps(problem), strict=True):
        if n > 1:
            share *= (n - 1 + (k - (r - 1) * s) / min(k, s)) / n
    return share


def _splits(runs: int, gap: int) -> list[int]:
    """Tiles of nearly equal blocks along an axis that has so many runs of ``gap`` tiles, smallest first."""
    return sorted({-(-runs // parts) * gap for parts in PARTS})


def _step(problem: Problem, points: Triple) -> Triple:
    d, h, w = (n - k + 1 for n, k in zip(points, taps(problem), strict=True))
    return d, h, w


def _elements(problem: Problem, points: Triple, tiles: Triple, lanes: int) -> int:
    """Return how many elements a thread needs for its block; a little more than the kernels take."""
    channels, filters, step = channels_of(problem), problem.filters // problem.groups, _step(problem, points)
    reach = [(n - 1) // m * g for n, m, g in zip(points, step, gaps(problem), strict=True)]
    plane = tiles[1] * tiles[2]
    most = (-(-tiles[0] * plane // lanes) + 1) * lanes
    phase = (tiles[0] + reach[0]) * plane + 2 * lanes
    slot = max(channels * step[0] * phase, filters * step[0] * most) + 3 * lanes
    row = tiles[2] + reach[2] + 2 * lanes
    line = (tiles[1] + reach[1]) * tiles[2] + 3 * lanes
    between = points[0] * ((channels + filters) * most + 2 * lanes)
    stride = problem.strides[2]
    whole = stride * (2 if stride > 1 else 1)  # a row as it is read, and apart by residue
    packed = step[2] * row * (whole + residues(problem)[2] * step[1] * (tiles[1] + reach[1]))
    rows = packed + step[1] * (points[2] + step[2]) * line
    return points[1] * points[2] * slot + between + rows


def _abreast(problem: Problem, points: Triple, tiles: Triple, lanes: int) -> int:
    """Return how many elements a thread needs on top where channels or filters lie side by side in memory."""
    side = LINE // ITEMSIZE[problem.dtype]
    channels, filters = (min(n // problem.groups, side) - 1 for n in (problem.channels, problem.filters))
    step = _step(problem, points)
    reach = [(n - 1) // m * g for n, m, g in zip(points, step, gaps(problem), strict=True)]
    row = step[2] * (tiles[2] + reach[2] + 2 * lanes)
    packed = residues(problem)[2] * step[1] * (tiles[1] + reach[1]) * row
    line = (tiles[1] + reach[1]) * tiles[2] + 3 * lanes
    rows = max(channels, filters) * (problem.strides[2] * row + lanes)
    return channels * packed + filters * step[1] * step[2] * line + rows


def forward_steps(points: int) -> int:
    """Operations, loads and stores of the transform of an input vector."""
    return 2 if points == 1 else points * (points // 2 + 1)


def inverse_steps(points: int, step: int) -> int:
    """Return the operations, loads and stores of the transform to a vector of each of a tile's outputs."""
    return 3 if points == 1 else points + step + (points // 2 - 1) * (2 + step)


def _finish(
    problem: Problem,
    points: Triple,
    step: Triple,
    tiles: Triple,
    threads: int,
    lanes: int,
    isa: str,
) -> Layout:
    costs, gap = COSTS[isa], gaps(problem)
    channels, filters = channels_of(problem), problem.filters // problem.groups
    elements = _elements(problem, points, tiles, lanes)
    scale = ITEMSIZE[problem.dtype] / 4
    plane = -(-tiles[1] * tiles[2] // lanes)
    volume = -(-tiles[0] * tiles[1] * tiles[2] // lanes)
    row = -(-tiles[2] // lanes)
    span = [t * m + (n - m) * g for t, m, n, g in zip(tiles, step, points, gap, strict=True)]
    planes = span[0] * channels
    gather = planes * (
        span[1] * (costs.call + row * costs.operation * forward_steps(points[2]) + span[2] * costs.element * scale)
        + points[2] * (costs.call + plane * costs.operation * forward_steps(points[1]))
    )
    calls = channels + filters
    depth = volume * (channels * forward_steps(points[0]) + filters * inverse_steps(points[0], step[0]))
    wide = tile_of(isa).filters
    narrow = 1.0 if filters % wide == 0 else 1.0 + 0.5 * wide / (filters + wide)
    products = (
        prod(points)
        * channels
        * filters
        * _busy(problem, points)
        * max(volume * costs.fma * narrow, costs.weight * scale)
    )
    multiply = points[1] * points[2] * (calls * costs.call + depth * costs.operation) + products
    outputs = tiles[0] * step[0] * filters
    scatter = outputs * (
        points[2] * (costs.call + plane * costs.operation * inverse_steps(points[1], step[1]))
        + step[1] * (costs.call + plane * costs.operation * inverse_steps(points[2], step[2]))
        + tiles[1] * step[1] * tiles[2] * step[2] * costs.element * scale
    )
    held = [channels * span[0], filters * tiles[0] * step[0]]  # planes of tiles in a slot: before and after
    slot = points[1] * points[2] * plane * lanes
    beyond = max(1 - second_level_cache() / (max(held) * slot * ITEMSIZE[problem.dtype]), 0.0)
    far = 2 * sum(held) * slot * scale * costs.far * beyond
    by_axis = zip(problem.output_size, step, gap, tiles, strict=True)
    blocks = prod(ceil(ceil(n / (m * g)) * g / t) for n, m, g, t in by_axis)
    items = problem.batch * problem.groups * blocks
    used = min(threads, items)
    rounds = -(-items // used)
    memory = (problem.input_bytes + problem.output_bytes) * DIRECT_COSTS[isa].byte / min(used, MEMORY_THREADS)
    prepare = weight_elements(problem, points) * costs.prepare / used
    abreast = _abreast(problem, points, tiles, lanes)
    scratch_bytes = in_pages((elements + abreast) * ITEMSIZE[problem.dtype])
    begin = costs.begin + costs.threads * used
    seconds = rounds * (gather + multiply + scatter + far + costs.item) + memory + prepare + begin
    return Layout(points, step, tiles, items, scratch_bytes, seconds)


def active_layout(problem: Problem, points: Triple, threads: int) -> Layout:
    """Return the layout for the instruction set in use."""
    return layout_of(problem, points, threads, isas.active())
