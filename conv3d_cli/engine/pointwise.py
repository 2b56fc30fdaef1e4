"""The method ``pointwise``: kernels of one voxel, a product of matrices through which the volume streams once.

Where filters are neighbours in memory (channels last) the vectors run along filters and the arrays are used in place;
else they run along voxels. Where all filters fit one tile, or channels are so few that a cache holds a line of each,
these are read in place; else the channels of a block of voxels are copied into a slab that stays in cache while all
filters read it, and while they do the next block is copied into a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, plain, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.direct_costs import COSTS, MEMORY_THREADS
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import tile_of
from conv3d_cli.engine.threads import carry_out
from conv3d_cli.frozen import frozen
from conv3d_cli.limits import second_level_cache

STREAM_BYTES = 8 << 20  # outputs of so many bytes go past the cache
LINE = 64
MOST_VOXELS = 1024  # of a block: memory is read and written in long runs
LEAST_VOXELS = 96
BYTE = 0.06e-9  # one core: a byte of input or output, read from or written to memory
COPY = 0.03e-9  # a byte of the slab
PART_OF_VECTOR = 0.5  # filters fill at least so much of their vectors where these run along filters


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the one way in which this method serves a problem, or why it does not."""
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("pointwise", refused=reason)]
    return [
        Candidate(
            "pointwise",
            seconds=seconds(problem, threads),
            scratch_bytes=scratch_bytes(problem, threads),
            detail=f"streamed matrix product, {isas.active()}",
        )
    ]


def refusal(problem: Problem) -> str | None:
    """Return why this method cannot serve a problem, or None."""
    if isas.active() == isas.NUMPY:
        return f"no compiled kernel: {isas.why_missing()}"
    if problem.kernel != (1, 1, 1):
        return "the kernel has more than one voxel"
    if any(sum(pads) for pads in problem.padding):
        return "padding around a kernel of one voxel"
    return None


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    threads: int,
    tick: Callable[[float], None] | None = None,
    isa: str | None = None,
) -> None:
    """Compute the convolution of ``x`` (N, C, D, H, W) into ``out`` (N, F, D', H', W'), both of any strides.

    ``kernel`` has the shape (1, 1, 1, C / groups, F). ``tick`` is called now and then with the fraction done. The
    result has the same bits for any number of threads.
    """
    if 0 in out.shape:
        return
    if not (whole_strides(x) and whole_strides(out)):
        whole = np.empty(out.shape, out.dtype)
        run(problem, x.copy(), kernel, bias, whole, threads=threads, tick=tick, isa=isa)
        out[...] = whole
        return
    isa = isa or isas.active()
    if problem.strides != (1, 1, 1):
        d, h, w = problem.strides
        x = x[:, :, ::d, ::h, ::w]
    kernel, bias = plain(kernel[0, 0, 0]), plain(bias)
    layout = layout_of(problem, threads, isa)
    planar = out.strides[4] == out.itemsize or out.strides[1] != out.itemsize or not layout.by_filters
    module = isas.native()
    assert module is not None
    job = module.Pointwise(
        isa,
        x,
        kernel,
        bias,
        out,
        groups=problem.groups,
        block=layout.block,
        planar=planar,
        stream=out.nbytes >= STREAM_BYTES and (not planar or _past_the_cache(isa)),
        threads=threads,
    )
    carry_out(job, threads, seconds=layout.seconds, tick=tick)


@frozen
class Layout:
    """Voxels of a block, whether filters fill vectors where they are neighbours in memory, and what all blocks cost."""

    block: int
    by_filters: bool
    seconds: float


@lru_cache(maxsize=256)
def layout_of(problem: Problem, threads: int, isa: str) -> Layout:
    """Return how ``run`` cuts a problem, which changes no bit of the result."""
    lanes, filters = _lanes(problem, isa), problem.filters // problem.groups
    filled = filters / (-(-filters // lanes) * lanes)
    return Layout(_block(problem, isa), filled >= PART_OF_VECTOR, seconds(problem, threads))


def seconds(problem: Problem, threads: int) -> float:
    """Return the predicted time of ``run`` on this machine, in seconds.

    >>> thin, wide = Problem((32, 32, 32), (1, 1, 1)), Problem((32, 32, 32), (1, 1, 1), channels=64, filters=64)
    >>> isas.active() == isas.NUMPY or seconds(thin, 1) < seconds(wide, 1)
    True
    """
    costs, tile = COSTS[isas.active()], tile_of(isas.active())
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    lanes = tile.vector_bytes // ITEMSIZE[problem.dtype]
    vectors = -(-prod(problem.output_size) // lanes) * problem.batch * problem.groups
    width = str(min(1 << (filters.bit_length() - 1), tile.filters))
    read = vectors * channels * tile.vector_bytes
    work = vectors * (costs.fma[width] * channels * filters + costs.store * filters / 4) + read * COPY
    memory = (problem.input_bytes + problem.output_bytes) * BYTE
    if threads == 1:
        return max(work, memory) + min(work, memory) / 2
    work, memory = work / threads, memory / MEMORY_THREADS
    return max(work, memory) + min(work, memory) / 2 + costs.threads * threads


def scratch_bytes(problem: Problem, threads: int) -> int:
    """Return the bytes that ``run`` takes beside its arrays: two slabs for each thread, and the packed weights."""
    isa = isas.active()
    lanes, block, line = _lanes(problem, isa), _block(problem, isa), LINE // ITEMSIZE[problem.dtype]
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    slab = block * channels + block // (_tile(isa)[1] * lanes) * 2 * line
    weights = problem.groups * (channels + 1) * (filters + lanes)
    return (threads * (2 * slab + (block + lanes) * (filters + 1)) + weights) * ITEMSIZE[problem.dtype]


def _past_the_cache(isa: str) -> bool:
    """Whether stores may go past the cache: with vectors of less than a line that took longer, measured on Zen 3."""
    return tile_of(isa).vector_bytes == LINE


def _tile(isa: str) -> tuple[int, int]:
    """Return the most filters that a tile of voxels holds, and the vectors of such a tile."""
    module = isas.native()
    assert module is not None
    filters, vectors = module.pointwise_tile(isa)
    return filters, vectors


def _lanes(problem: Problem, isa: str) -> int:
    return tile_of(isa).vector_bytes // ITEMSIZE[problem.dtype]


def _block(problem: Problem, isa: str) -> int:
    """Return the voxels of a block: two slabs of them take half of the second-level cache at most."""
    lanes = _lanes(problem, isa)
    fitting = second_level_cache() // 4 // ITEMSIZE[problem.dtype] // (problem.channels // problem.groups)
    unit = _tile(isa)[1] * lanes
    return max(min(fitting, MOST_VOXELS) // unit, -(-LEAST_VOXELS // unit)) * unit
