"""The method ``reference``: plain NumPy, one shifted product a tap, summed in float64.

It serves every problem, on machines without a compiler too, and is what the other methods are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import ceil

import numpy as np

from conv3d_cli.engine import costs
from conv3d_cli.engine.blocks import Array, Span, blocks, padded_window
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.shapes import Triple, effective, voxels

BLOCK_BYTES = 4 << 20


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the one way in which this method serves a problem."""
    many = problem.channels // problem.groups > 1 or problem.filters // problem.groups > 1
    tap = costs.REFERENCE_GEMM if many else costs.REFERENCE_TAP
    pieces = problem.batch * problem.groups * ceil(voxels(problem.output_size) / voxels(_block(problem)))
    arithmetic = tap * problem.multiply_adds / costs.speedup(threads)
    return [
        Candidate(
            "reference",
            seconds=arithmetic + pieces * problem.taps * costs.REFERENCE_CALL + costs.THREADS_START,
            scratch_bytes=threads * _block_bytes(problem, _block(problem)) + 8 * voxels(problem.kernel_shape),
            error=2e-7,
            detail="shifted sums in float64",
        )
    ]


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    threads: int,
    tick: Callable[[float], None] | None = None,
) -> None:
    """Fill ``out`` with the convolution of ``x``; shapes are those of the problem."""
    taps = kernel.astype(np.float64)
    spans = list(blocks(problem.output_size, _block(problem)))
    total = len(spans) * problem.batch * problem.groups
    pieces = Pieces(product(range(problem.batch), range(problem.groups), spans))
    done: list[None] = []

    def work() -> None:
        # Infinities and overflow follow IEEE 754, as in compiled code: they are results, not accidents.
        with np.errstate(all="ignore"):
            for n, group, span in pieces:
                _fill(problem, x[n], taps, bias, out[n], group, span)
                done.append(None)

    share(work, min(threads, total), stop=pieces.close, tick=tick and (lambda: tick(len(done) / total)))


def _fill(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    group: int,
    span: tuple[Span, Span, Span],
) -> None:
    """Compute one block of the outputs of one group."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    mine = slice(group * filters, (group + 1) * filters)
    slab = padded_window(problem, x[group * channels : (group + 1) * channels], span, np.float64)
    size = tuple(hi - lo for lo, hi in span)
    total = np.zeros((filters, *size))
    for tap in np.ndindex(*problem.kernel):
        starts = [k * d for k, d in zip(tap, problem.dilation, strict=True)]
        where = (slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, size, problem.strides, strict=True))
        shifted = slab[(slice(None), *where)]
        weights = kernel[tap][:, mine]
        if channels == 1:
            for f in range(filters):
                total[f] += weights[0, f] * shifted[0]
        else:
            total += np.tensordot(weights.T, shifted, axes=1)
    if bias is not None:
        total += bias[mine].astype(np.float64)[:, None, None, None]
    out[(mine, *(slice(lo, hi) for lo, hi in span))] = total


def _block(problem: Problem) -> Triple:
    """Return the block of outputs that keeps a thread's arrays within BLOCK_BYTES, slowest axes split first."""
    block = list(problem.output_size)
    for axis in range(3):
        over = _block_bytes(problem, (block[0], block[1], block[2])) / BLOCK_BYTES
        if over > 1:
            block[axis] = max(1, ceil(block[axis] / over) - 1)
    return block[0], block[1], block[2]


def _block_bytes(problem: Problem, block: Triple) -> int:
    read = voxels(
        tuple(
            (n - 1) * s + effective(k, d)
            for n, s, k, d in zip(block, problem.strides, problem.kernel, problem.dilation, strict=True)
        )
    )
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    # What lies around a volume is gathered from it, at most as many voxels as the window has at once.
    gathered = channels * read if problem.bounded and not problem.boundary.is_constant else 0
    return 8 * (channels * read + gathered + (2 * filters + channels) * voxels(block))
