"""Compiled tiles for the method ``fft``: many tiles go through all stages side by side, one in each lane of a vector.

They serve kernels of mid size with stride and dilation 1, in float32. The kernels' spectra are computed once a call and
serve all tiles; the spectrum of a tile serves all filters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.direct_costs import COSTS as DIRECT
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.fft_costs import COSTS, FftCosts
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import share
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple, voxels

MOST_TAPS = 16
"""Taps of an axis up to which the longest tile still keeps more than half of its voxels."""

INLINE_SECONDS = 3e-4
"""What is over sooner than this does not pay for starting threads."""

CALL_SECONDS = 1.5e-4
"""Looking at the values beforehand, from Python, and asking for memory."""

ROOM = 64 << 20
"""Bytes that all threads together may take beside the spectra of the kernels, if there are tiles so small."""

ROOM_PER_THREAD = 8 << 20
"""The same for each of many threads."""

FLOAT = 4


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest compiled tiling that fits in ``memory`` bytes (else the leanest); none where none serves.

    >>> from conv3d_cli.engine.candidate import ACCURACIES
    >>> strided = Problem((32, 32, 32), (5, 5, 5), strides=(2, 2, 2), channels=8, filters=8)
    >>> candidates(strided, 2, ACCURACIES["default"], 1 << 30)
    []
    """
    isa = isas.active()
    if isa == isas.NUMPY or not serves(problem) or not Candidate("fft", local=False).keeps(accuracy):
        return []
    tiles, seconds, scratch = _predictions(problem, threads, isa)
    fitting = np.flatnonzero(scratch <= memory)
    best = int(fitting[np.argmin(seconds[fitting])]) if fitting.size else int(np.argmin(scratch))
    d, h, w = (int(n) for n in tiles[best])
    return [
        Candidate(
            "fft",
            seconds=float(seconds[best]),
            scratch_bytes=int(scratch[best]),
            error=1e-6,
            local=False,
            detail=f"compiled tiles of {d}x{h}x{w}, {isa}",
            tile=(d, h, w),
            transform="float32",
            native=True,
        )
    ]


def serves(problem: Problem) -> bool:
    """Return whether compiled tiles can serve a problem at all."""
    return (
        problem.dtype == "float32"
        and problem.strides == problem.dilation == (1, 1, 1)
        and problem.taps > 1
        and max(problem.kernel) <= MOST_TAPS
        and 0 not in problem.output_shape
        and 0 not in problem.input_shape
    )


def largest(tile: Triple, amplitude: float, gain: float) -> float:
    """Return a bound on what arises inside: no transform is divided by its length before the last has ended.

    ``amplitude`` bounds the input, ``gain`` the sum of a kernel's absolute values.
    """
    points = voxels(tile)
    return max(4 * amplitude * gain, 2 * amplitude) * points + 2 * gain


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    tile: Triple,
    threads: int,
    tick: Callable[[float], None] | None = None,
    isa: str | None = None,
) -> None:
    """Fill ``out`` (N, F, D', H', W') with the convolution of ``x`` (N, C, D, H, W), both of any strides.

    The result has the same bits for any number of threads. ``tick`` hears the share done.
    """
    if not (_regular(x) and _regular(out)):
        x, whole = x.copy(), np.empty(out.shape, out.dtype)
        run(problem, x, kernel, bias, whole, tile=tile, threads=threads, tick=tick, isa=isa)
        out[...] = whole
        return
    before = tuple(pads[0] for pads in problem.padding)
    kernel, bias = np.ascontiguousarray(kernel), None if bias is None else np.ascontiguousarray(bias)
    module: Any = isas.native()
    isa = isa or isas.active()
    job = module.FftJob(isa, tile, before, problem.groups, x, kernel, bias, out)
    if _seconds(problem, threads, isa, tile) < INLINE_SECONDS:
        job.prepare()
        job.work()
    else:
        report = (lambda: tick(job.done / job.total)) if tick is not None else None
        share(job.prepare, threads, stop=job.cancel_prepare)
        share(job.work, min(threads, job.total), stop=job.cancel, tick=report)
    if tick is not None:
        tick(1.0)


def _regular(array: Array) -> bool:
    """Whether every stride is a whole number of elements; those of a field of a record may not be."""
    return bool(array.flags.aligned) and all(stride % array.itemsize == 0 for stride in array.strides)


@lru_cache(maxsize=64)
def _lengths(isa: str, real: bool) -> tuple[int, ...]:
    module: Any = isas.native()
    return tuple(module.fft_lengths(isa, real))


@lru_cache(maxsize=8)
def _lanes(isa: str) -> int:
    module: Any = isas.native()
    return int(module.fft_lanes(isa))


def _tiles(problem: Problem, isa: str) -> Array:
    """Return the tiles to choose from, one a row: longer than the kernel, not much longer than the volume."""
    choices = []
    for axis in range(3):
        taps = problem.kernel[axis]
        lengths = [n for n in _lengths(isa, axis == 2) if n > taps or n == taps == 1]
        enough = [n for n in lengths if n >= problem.output_size[axis] + taps - 1]
        choices.append([n for n in lengths if n <= min(enough, default=lengths[-1])])
    return np.stack(np.meshgrid(*choices, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=256)
def _predictions(problem: Problem, threads: int, isa: str) -> tuple[Array, Array, Array]:
    """Return the tiles that take no more than the room for threads, and the seconds and bytes of scratch of each."""
    lanes, costs = _lanes(isa), COSTS[isa]
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    tiles = _tiles(problem, isa)
    t, kept = tiles.T.astype(float), (tiles - np.array(problem.kernel) + 1).T.astype(float)
    boxes = np.prod(np.ceil(np.array(problem.output_size)[:, None] / kept), axis=0) * problem.batch
    frequencies = t[2] // 2 + 1
    columns = frequencies * t[1]
    items = problem.groups * np.ceil(boxes / lanes)
    kernels = problem.groups * channels * -(-filters // lanes)
    used = np.minimum(threads, items)

    spectra = 2 * FLOAT * columns * t[0] * channels * filters
    column_bytes = 2 * FLOAT * lanes * columns * np.maximum(channels * t[0], filters * kept[0])
    planes = FLOAT * lanes * (_together(channels, filters, lanes) * t[1] * t[2] + 2 * columns)
    lines = 2 * FLOAT * lanes * (channels + filters) * t[0]
    padding = 2 * FLOAT * lanes * columns
    room = threads * (column_bytes + planes + lines + padding)
    scratch = spectra * problem.groups + room

    item = (
        _transform_seconds(costs, t, t, frequencies) * channels
        + _transform_seconds(costs, t, kept, frequencies) * filters
        + costs.pack * (channels * t[0] * t[1] * t[2] + filters * np.prod(kept, axis=0))
        + costs.product * columns * t[0] * channels * filters
        + costs.byte * (_beyond(column_bytes) * 4 + _beyond(spectra))
    )
    prepare = (_transform_seconds(costs, t, t, frequencies) + costs.spread * columns * t[0] * lanes) * kernels
    memory = (problem.input_bytes + problem.output_bytes) * DIRECT[isa].byte
    seconds = (
        CALL_SECONDS
        + item * np.ceil(items / used)
        + prepare / min(threads, kernels)
        + memory / np.minimum(used, MEMORY_THREADS)
        + np.where(used > 1, 2 * DIRECT[isa].threads * used, 0.0)
    )
    within = room <= max(ROOM, ROOM_PER_THREAD * threads, room.min())
    return tiles[within], seconds[within], scratch[within]


def _seconds(problem: Problem, threads: int, isa: str, tile: Triple) -> float:
    """Return the prediction for one of the tiles to choose from, infinity for any other."""
    tiles, seconds, _ = _predictions(problem, threads, isa)
    return float(np.min(seconds[(tiles == tile).all(axis=1)], initial=np.inf))


def _together(channels: int, filters: int, lanes: int) -> int:
    """Return how many planes may be in work at once: those of channels or filters that lie side by side."""
    return lanes if max(channels, filters) > 1 else 1


def _transform_seconds(costs: FftCosts, t: Array, kept: Array, frequencies: Array) -> Array:
    """Return the seconds for one channel: transforms along W of rows kept, along H of planes kept, along D."""
    rows = kept[0] * kept[1] * t[2] / 2 * np.log2(t[2])
    planes = kept[0] * frequencies * t[1] * np.log2(t[1])
    lines = frequencies * t[1] * t[0] * np.log2(t[0])
    result: Array = costs.transform * (rows + planes + lines)
    return result


def _beyond(size: Array) -> Array:
    """Return the bytes that do not stay in the second-level cache from one use to the next."""
    return np.where(size > second_level_cache() // 2, size, 0.0)
