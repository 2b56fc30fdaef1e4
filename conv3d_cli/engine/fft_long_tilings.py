"""Long tiles to choose from for a problem, and what each is predicted to take."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.direct_costs import COSTS as DIRECT
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.fft_long_costs import CALL_SECONDS, COSTS
from conv3d_cli.engine.problem import Problem
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import Triple, effective

ROOM = 64 << 20
"""Bytes that a tile of all channels and filters may take, if there are tiles so small."""

NEAR = 16 << 20
"""Bytes of a tile and of spectra that stay in the last cache from sweep to sweep, on most machines."""

FAR_THREADS = 4
"""Threads from which on what lies further away comes no faster."""

FLOAT = 4


@lru_cache(maxsize=8)
def _lengths(isa: str) -> tuple[int, ...]:
    module: Any = isas.native()
    return tuple(module.fft_long_lengths(isa))


@lru_cache(maxsize=8)
def lanes_of(isa: str) -> int:
    """Return how many frequencies are a block."""
    module: Any = isas.native()
    return int(module.fft_long_lanes(isa))


@frozen
class Cut:
    """One axis cut into tiles: the length of a tile, the outputs that it keeps, tiles, and voxels inside the volume."""

    length: int
    kept: int
    tiles: int
    inside: float  # of a tile, on average, with those around it that are not zero


def cut(problem: Problem, axis: int, length: int) -> Cut | None:
    """Return how tiles of a length serve an axis, or None where the kernel does not fit into one.

    >>> cut(Problem((128, 1, 1), (21, 1, 1), padding=((10, 10), (0, 0), (0, 0))), 0, 144)
    Cut(length=144, kept=128, tiles=1, inside=128.0)
    """
    kept, tiles = _kept(problem, axis, length)
    if not kept:
        return None
    before, stride = problem.padding[axis][0], problem.strides[axis]
    low, high = _filled(problem, axis)
    firsts = range(-before, tiles * kept * stride - before, kept * stride)
    inside = sum(max(min(high, first + length) - max(first, low), 0) for first in firsts)
    return Cut(length, kept, tiles, inside / tiles)


def _kept(problem: Problem, axis: int, length: int) -> tuple[int, int]:
    """Return the outputs that a tile keeps, none where the kernel does not fit into it, and how many tiles serve."""
    outputs, stride = problem.output_size[axis], problem.strides[axis]
    extent = effective(problem.kernel[axis], problem.dilation[axis])
    if extent > length:
        return 0, 0
    kept = min((length - extent) // stride + 1, outputs)
    # One tile may serve although not all zeros of the padding find room: what wraps round meets those at the other end.
    last = (outputs - 1) * stride
    (low, _), before = _filled(problem, axis), problem.padding[axis][0]
    if last < length and before + problem.size[axis] <= length and last + extent - length <= before + low:
        kept = outputs
    return kept, -(-outputs // kept)


def _filled(problem: Problem, axis: int) -> tuple[int, int]:
    """Return the first and the end of the positions that are not zero: the volume, and what is around it if that is."""
    before, after = problem.padding[axis] if problem.bounded else (0, 0)
    return -before, problem.size[axis] + after


def _cuts(problem: Problem, axis: int, isa: str) -> list[Cut]:
    """Return the ways to cut an axis: for each number of tiles the shortest."""
    shortest: dict[int, int] = {}
    for n in _lengths(isa):
        length = 2 * n if axis == 2 else n
        kept, tiles = _kept(problem, axis, length)
        if kept:
            shortest.setdefault(tiles, length)
    return [found for length in shortest.values() if (found := cut(problem, axis, length)) is not None]


@frozen
class Tilings:
    """Tiles to choose from, one a row, with the seconds and the bytes of scratch of each."""

    tiles: Array
    seconds: Array
    scratch: Array


def volume_bytes(tiles: Array, lanes: int) -> Array:
    """Return the bytes of one channel of a tile, all in frequencies."""
    row = np.ceil(tiles[..., 2] / 2 / lanes) * lanes * 2 * FLOAT
    volume: Array = tiles[..., 0] * ((tiles[..., 1] * row) // 64 + 1) * 64
    return volume


def chunk_of(problem: Problem, volume: Array) -> Array:
    """Return how many filters of a group are restored at once."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    some = np.clip(ROOM // volume - channels, 1, filters)
    return np.where(max(channels, filters) * volume <= ROOM, filters, some)


@lru_cache(maxsize=256)
def tilings_of(problem: Problem, threads: int, isa: str) -> Tilings:
    """Return the tiles that take no more than their room, none where the kernel does not fit into any."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    lanes, costs = lanes_of(isa), COSTS[isa]
    ways = [_cuts(problem, axis, isa) for axis in range(3)]
    if not all(ways):
        return Tilings(np.empty((0, 3)), np.empty(0), np.empty(0))
    picked = np.stack(np.meshgrid(*(np.arange(len(w)) for w in ways), indexing="ij"), axis=-1).reshape(-1, 3)

    def each(value: Callable[[Cut], float]) -> Array:
        return np.stack([np.array([value(c) for c in w])[picked[:, i]] for i, w in enumerate(ways)])

    tile, kept, inside = each(lambda c: c.length), each(lambda c: c.kept), each(lambda c: c.inside)
    count = np.prod(each(lambda c: c.tiles), axis=0) * problem.batch * problem.groups
    extent = [effective(k, d) for k, d in zip(problem.kernel, problem.dilation, strict=True)]
    stride = problem.strides

    volume = volume_bytes(tile.T, lanes)
    plane, half = volume / tile[0], np.ceil(tile[2] / 2 / lanes) * lanes
    chunk = chunk_of(problem, volume)
    chunks = np.ceil(filters / chunk)
    slots = np.where(chunks > 1, channels + chunk, max(channels, filters))
    spectra = volume * channels * filters * problem.groups
    longest = np.maximum(np.maximum(tile[0], tile[1]), half)
    lines = 2 * longest + lanes + (channels + 1) * tile[0] + half  # the last is what a thread's own plane has more
    room = threads * (plane + 2 * FLOAT * lanes * lines + FLOAT * lanes * (extent[2] + lanes))
    kernel_planes = spectra / tile[0] * extent[0]
    scratch = spectra + np.maximum(kernel_planes, slots * volume) + room

    def lines_seconds(points: Array, length: Array) -> Array:
        return costs.transform * points * np.log2(np.maximum(length, 2))

    def shared(items: Array) -> Array:
        """Return how many items one thread does while all do so many."""
        rounds: Array = np.ceil(items / np.clip(items, 1, threads))
        return rounds

    wanted_h = (kept[1] - 1) * stride[1] + 1
    forward = lines_seconds(inside[1] * half, half) + lines_seconds(half * tile[1], tile[1])
    forward = forward + costs.pack * inside[1] * tile[2]
    backward = lines_seconds(kept[1] * half, half) + lines_seconds(half * wanted_h, tile[1])
    backward = backward + costs.pack * kept[1] * tile[2]
    column = lines_seconds(tile[0], tile[0]) * (channels * chunks + filters)
    column = column + costs.product * tile[0] * channels * filters
    # Each sweep reads what the one before has written, and the second one the kernels' spectra as well.
    swept = plane * (inside[0] * channels * (1 + chunks) + 2 * kept[0] * filters) + volume * channels * filters / 2
    near = slots * volume + volume * channels * filters <= NEAR
    one = (
        forward * shared(inside[0] * channels)
        + backward * shared(kept[0] * chunk) * chunks
        + column * shared(half * tile[1])
        + swept * np.where(near, costs.near / threads, costs.far / min(threads, FAR_THREADS))
        + (costs.join * (1 + 2 * chunks) if threads > 1 else 0.0)
    )
    pairs = channels * filters * problem.groups
    prepare = (forward * extent[0] + lines_seconds(volume / (2 * FLOAT), tile[0])) * pairs / threads
    memory = (problem.input_bytes + problem.output_bytes) * DIRECT[isa].byte / min(threads, MEMORY_THREADS)
    seconds = CALL_SECONDS + one * count + prepare + memory + (2 * DIRECT[isa].threads * threads if threads > 1 else 0)
    within = slots * volume <= np.maximum(ROOM, (slots * volume).min())
    return Tilings(tile.T[within].astype(int), seconds[within], np.ceil(scratch[within]).astype(int))


def predicted(problem: Problem, threads: int, isa: str, tile: Triple) -> float:
    """Return the prediction for one of the tiles to choose from, infinity for any other."""
    tilings = tilings_of(problem, threads, isa)
    return float(np.min(tilings.seconds[(tilings.tiles == tile).all(axis=1)], initial=np.inf))
