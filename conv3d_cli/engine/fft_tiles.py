"""Compiled tiles for the method ``fft``: many tiles go through all stages side by side, one in each lane of a vector.

They serve kernels of mid size, in float32. The kernels' spectra are computed once and serve all tiles, and the next
volumes too; the spectrum of a tile serves all filters. Of a strided layer only what is wanted is transformed back; a
dilated one is several without dilation, one for each phase of the outputs' positions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, packed, plain, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.direct_costs import COSTS as DIRECT
from conv3d_cli.engine.direct_costs import MEMORY_THREADS
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.fft_costs import COSTS, FftCosts
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.pages import all_in_pages
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import INLINE_SECONDS, carry_out, share
from conv3d_cli.limits import second_level_cache
from conv3d_cli.shapes import Triple, voxels

MOST_TAPS = 16
"""Taps of an axis up to which the longest tile still keeps more than half of its voxels."""

"""What is over sooner than this does not pay for starting threads."""

CALL_SECONDS = 1.5e-4
"""Looking at the values beforehand, from Python, and asking for memory."""

ROOM = 64 << 20
"""Bytes that all threads together may take beside the spectra of the kernels, if there are tiles so small."""

ROOM_PER_THREAD = 8 << 20
"""The same for each of many threads."""

VOLUMES = 4
"""Volumes of one layer among which the work on its kernels is divided, if what comes of it is kept."""

FAR_COLUMNS, FAR_SPECTRA = 12, 32
"""Second-level caches that a thread's columns, and the spectra of all kernels, may take to stay in the last level."""

FAR = 4.0
"""How much longer it takes to read or write what does not."""

FLOAT = 4


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest compiled tiling that fits in ``memory`` bytes (else the leanest); none where none serves.

    >>> from conv3d_cli.engine.candidate import ACCURACIES
    >>> precise = Problem((32, 32, 32), (5, 5, 5), channels=8, filters=8, dtype="float64")
    >>> candidates(precise, 2, ACCURACIES["default"], 1 << 30)
    []
    """
    isa = isas.active()
    if isa == isas.NUMPY or not serves(problem) or not Candidate("fft", local=False).keeps(accuracy):
        return []
    tiles, seconds, scratch = _predictions(problem, threads, isa)
    if not len(tiles):
        return []
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
        and all(s == 1 or d == 1 for s, d in zip(problem.strides, _apart(problem), strict=True))
        and problem.taps > 1
        and max(problem.kernel) <= MOST_TAPS
        and 0 not in problem.output_shape
        and 0 not in problem.input_shape
    )


def _apart(problem: Problem) -> Triple:
    """Return how far voxels that a kernel sums lie apart along each axis; one tap has no dilation."""
    d, h, w = (d if k > 1 else 1 for k, d in zip(problem.kernel, problem.dilation, strict=True))
    return d, h, w


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
    x, whole = plain(x), out if whole_strides(out) else np.empty(out.shape, out.dtype)
    before = tuple(pads[0] for pads in problem.padding)
    module: Any = isas.native()
    isa = isa or isas.active()
    predicted = _seconds(problem, threads, isa, tile)
    spectra = _spectra(problem, packed(kernel), tile, threads if predicted >= INLINE_SECONDS else 1, isa)
    boundary = native_boundary(problem)
    job = module.FftJob(spectra, before, problem.strides, _apart(problem), boundary, x, packed(bias), whole)
    carry_out(job, threads, seconds=predicted, tick=tick)
    if whole is not out:
        out[...] = whole


def _spectra(problem: Problem, kernel: Array, tile: Triple, threads: int, isa: str) -> Any:
    """Return the spectra of a layer's kernels, those of the last call if the kernels are the same."""
    module: Any = isas.native()

    def transformed() -> Any:
        spectra = module.FftSpectra(isa, tile, problem.groups, kernel)
        if threads == 1:
            spectra.prepare()
        else:
            share(spectra.prepare, threads, stop=spectra.cancel)
        return spectra

    return KERNELS.get(("fft tiles", isa, tile, problem.groups), kernel, transformed, size=lambda made: made.bytes)


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
        taps, stride = problem.kernel[axis], problem.strides[axis]
        known = _lengths(isa, axis == 2)
        lengths = [n for n in known if n > taps or n == taps == 1]
        lengths = [n for n in lengths if n - taps < stride or (n % stride == 0 and n // stride in known)]
        wanted = (-(-problem.output_size[axis] // _apart(problem)[axis]) - 1) * stride + taps
        longest = min((n for n in lengths if n >= wanted), default=MOST_TAPS * 2)
        choices.append([n for n in lengths if n <= longest])
    return np.stack(np.meshgrid(*choices, indexing="ij"), axis=-1).reshape(-1, 3)


@lru_cache(maxsize=256)
def _predictions(problem: Problem, threads: int, isa: str) -> tuple[Array, Array, Array]:
    """Return the tiles that take no more than the room for threads, and the seconds and bytes of scratch of each."""
    lanes, costs = _lanes(isa), COSTS[isa]
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    tiles = _tiles(problem, isa)
    kept = ((tiles - problem.kernel) // problem.strides + 1).T.astype(float)
    t, apart = tiles.T.astype(float), np.array(_apart(problem))[:, None]
    folds = np.where(tiles % problem.strides == 0, problem.strides, 1).T
    all_outputs = np.array(problem.output_size)[:, None]
    of_phase, phases = np.ceil(all_outputs / apart), np.minimum(apart, all_outputs)
    boxes = np.prod(np.ceil(of_phase / kept) * phases, axis=0) * problem.batch
    frequencies = t[2] // 2 + 1
    columns = frequencies * t[1]
    items = problem.groups * np.ceil(boxes / lanes)
    kernels = problem.groups * channels * -(-filters // lanes)
    used = np.minimum(threads, items)

    spectra = 2 * FLOAT * columns * t[0] * channels * filters
    together = _filter_chunk(channels, filters, lanes)
    of_inputs, of_sums = channels * t[0], together * kept[0]
    column_planes = np.maximum(of_inputs, of_sums) if together == filters else of_inputs + of_sums
    column_bytes = 2 * FLOAT * lanes * columns * column_planes
    planes = FLOAT * lanes * (_together(channels, filters, lanes) * t[1] * t[2] + 2 * columns)
    lines = 2 * FLOAT * lanes * (channels + together) * t[0]
    padding = 2 * FLOAT * lanes * columns
    room = threads * all_in_pages(column_bytes + planes + lines + padding)
    scratch = spectra * problem.groups + room

    move = costs.pack + (costs.apart if apart[2] > 1 else 0.0)
    item = (
        _transform_seconds(costs, t, t, t) * channels
        + _transform_seconds(costs, t, t / folds, kept) * filters
        + move * (channels * t[0] * t[1] * t[2] + filters * np.prod(kept, axis=0))
        + costs.product * columns * t[0] * channels * filters
        + costs.byte * (_beyond(column_bytes, FAR_COLUMNS) * 4 + _beyond(spectra, FAR_SPECTRA))
    )
    prepare = (_transform_seconds(costs, t, t, t) + costs.spread * columns * t[0] * lanes) * kernels
    # Lines of memory are read before they are written.
    memory = (problem.input_bytes + 2 * problem.output_bytes) * DIRECT[isa].byte
    seconds = (
        CALL_SECONDS
        + item * np.ceil(items / used)
        + prepare / min(threads, kernels) / np.where(spectra * problem.groups <= KERNELS.room, VOLUMES, 1)
        + memory / np.minimum(used, MEMORY_THREADS)
        + np.where(used > 1, 2 * DIRECT[isa].threads * used, 0.0)
    )
    within = room <= max(ROOM, ROOM_PER_THREAD * threads, room.min())
    return tiles[within], seconds[within], scratch[within]


def _seconds(problem: Problem, threads: int, isa: str, tile: Triple) -> float:
    """Return the prediction for one of the tiles to choose from, infinity for any other."""
    tiles, seconds, _ = _predictions(problem, threads, isa)
    return float(np.min(seconds[(tiles == tile).all(axis=1)], initial=np.inf))


def _filter_chunk(channels: int, filters: int, lanes: int) -> int:
    """Return of how many filters the sums are in work at once, as in fft_job.cpp."""
    return min(filters, lanes) if channels == 1 else filters


def _together(channels: int, filters: int, lanes: int) -> int:
    """Return how many planes may be in work at once: those of channels or filters that lie side by side."""
    return lanes if max(channels, filters) > 1 else 1


def _transform_seconds(costs: FftCosts, t: Array, lengths: Array, kept: Array) -> Array:
    """Return the seconds for one channel: transforms of so many values along W of rows kept, H of planes kept, and D.

    Those back of a strided layer have ``lengths`` shorter than the tile ``t``.
    """
    frequencies = t[2] // 2 + 1
    rows = kept[0] * kept[1] * lengths[2] / 2 * np.log2(lengths[2])
    planes = kept[0] * frequencies * lengths[1] * np.log2(lengths[1])
    lines = frequencies * t[1] * lengths[0] * np.log2(lengths[0])
    result: Array = costs.transform * (rows + planes + lines)
    return result


def _beyond(size: Array, far: int) -> Array:
    """Return the bytes that do not stay in the second-level cache from one use to the next, those far away as more."""
    cache = second_level_cache()
    return np.where(size > far * cache, FAR * size, np.where(size > cache // 2, size, 0.0))
