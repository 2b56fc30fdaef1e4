"""The method ``winograd``: Cook-Toom tiles, for kernels of 2 to 5 taps an axis and several channels.

A tile of n inputs an axis yields m = n - r + 1 outputs from n products instead of m * r; what is saved in products is
partly spent in transforms, which each channel and each filter needs once, so that many of them are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conv3d_cli.engine import fft
from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, plain, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate, first_proven, ranked
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.magnitude import brightest, largest
from conv3d_cli.engine.problem import ITEMSIZE, Problem, Real
from conv3d_cli.engine.threads import Pieces, carry_out, share
from conv3d_cli.engine.winograd_error import error, error_of, worst
from conv3d_cli.engine.winograd_layout import (
    active_layout,
    gaps,
    is_local,
    taps,
    tiles_for,
    weight_elements,
)
from conv3d_cli.errors import MethodError
from conv3d_cli.frozen import replace
from conv3d_cli.shapes import Triple

FEWEST_CHANNELS = 4
MOST_TAPS = 5
MOST_STRIDE = 7
INLINE_WEIGHTS = 1 << 18
FEW_FILTERS = 8
SWELLING = 1e4  # how much larger a value inside a tile may be than the sum of absolute products


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest tile that keeps the accuracy and fits in ``memory`` bytes, else the leanest.

    That is for weights spread over the taps; ``at_worst`` tells of those that may lose more than ``accuracy`` allows.
    """
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("winograd", refused=reason)]
    return [_ways(problem, threads, accuracy, memory, isas.active())[0]]


def proven(problem: Problem, kernel: Array, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what ``candidates`` would for this very kernel, (kd, kh, kw, C / groups, F) in the problem's axes."""
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("winograd", refused=reason)]

    def expected(way: Candidate) -> float:
        assert way.tile is not None
        return expected_error(problem, way.tile, kernel, threads, way.scratch_bytes <= memory)

    found = first_proven(_ways(problem, threads, accuracy, memory, isas.active()), expected, accuracy)
    assert found is not None
    return [found]


def refusal(problem: Problem) -> str | None:
    """Return why tiles cannot serve a problem, or None.

    >>> refusal(Problem((9, 9, 9), (3, 3, 3), strides=(2, 1, 1), dilation=(2, 1, 1), channels=8))
    'a stride and a dilation along one axis'
    """
    if isas.active() == isas.NUMPY:
        return f"no compiled kernel: {isas.why_missing()}"
    if any(s > 1 and g > 1 for s, g in zip(problem.strides, gaps(problem), strict=True)):
        return "a stride and a dilation along one axis"
    if max(problem.strides) > MOST_STRIDE:
        return f"a stride of {max(problem.strides)}, more than {MOST_STRIDE}"
    if not 1 < max(taps(problem)) <= MOST_TAPS:
        per = " for each voxel of a stride" if max(problem.strides) > 1 else ""
        return f"a kernel of {'x'.join(map(str, problem.kernel))}, not of 2 to {MOST_TAPS} taps{per}"
    if problem.channels // problem.groups < FEWEST_CHANNELS:
        return f"fewer than {FEWEST_CHANNELS} channels in a group"
    return None


def unsuitable(problem: Problem, x: Array, kernel: Array, threads: int = 1) -> str | None:
    """Return why this data may not go through tiles, or None: one NaN would spread over its tile."""
    bright, heavy = brightest(problem, x, threads), largest(kernel)
    terms = problem.taps * max(problem.channels // problem.groups, 1)
    if max(bright, 1.0) * max(heavy, 1.0) * terms * SWELLING <= fft.LARGEST[problem.dtype]:
        return None
    too_large = f"values so large that a tile may overflow: up to {bright:.3g}"
    return fft.unsuitable(problem, x, kernel, threads) or too_large


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    tile: Triple,
    transform: Real,
    threads: int,
    tick: Callable[[float], None] | None = None,
) -> None:
    """Fill ``out`` with the convolution of ``x``, which must be free of NaN and Inf; arrays may have any strides.

    ``tile`` holds the inputs of a tile along each axis, ``transform`` is the problem's dtype. The result has the same
    bits for any number of threads. Raises MethodError where the kernels are not built.
    """
    module = isas.native()
    if module is None:
        raise MethodError(f"method: 'winograd' cannot run: {isas.why_missing()}")
    layout = active_layout(problem, tile, threads)
    whole = out if whole_strides(out) else np.empty(out.shape, out.dtype)
    x, kernel, bias = plain(x), plain(kernel), plain(bias)
    kernels = _kept(problem, kernel, tile, threads)
    axes = _axes(module, problem, layout.step, layout.tiles)
    job = module.WinogradJob(kernels, axes, native_boundary(problem), x, bias, whole)
    carry_out(job, threads, seconds=layout.seconds, tick=tick)
    if whole is not out:
        out[...] = whole


def _kept(problem: Problem, kernel: Array, tile: Triple, threads: int) -> Any:
    return KERNELS.get(
        ("winograd", isas.active(), tile, problem.strides, problem.groups),
        kernel,
        lambda: transformed(problem, kernel, tile, threads),
        size=lambda made: made.bytes,
    )


def transformed(problem: Problem, kernel: Array, tile: Triple, threads: int) -> Any:
    """Return a kernel as the products of a tile read it: an object of the native module, which jobs only read."""
    from conv3d_cli.engine.cook_toom import cook_toom

    module = isas.native()
    assert module is not None
    matrices = [
        module.WinogradMatrix(step=n - k + 1, stride=s, kernel=cook_toom(n - k + 1, k).kernel_factors)
        for n, k, s in zip(tile, taps(problem), problem.strides, strict=True)
    ]
    made = module.WinogradKernels(isas.active(), matrices, problem.groups, kernel)
    pieces = Pieces(range(made.pieces))

    def prepare() -> None:
        for piece in pieces:
            made.prepare(kernel, piece)

    if weight_elements(problem, tile) < INLINE_WEIGHTS:
        prepare()
    else:
        share(prepare, min(threads, made.pieces), stop=pieces.close)
    return made


@lru_cache(maxsize=256)
def _ways(problem: Problem, threads: int, accuracy: Accuracy, memory: int, isa: str) -> tuple[Candidate, ...]:
    """Return the tiles that keep the accuracy: those that fit in memory by time, then the others by memory."""
    keeping = [points for points in tiles_for(problem) if _keeps(problem, points, accuracy)]
    allowed = keeping or [_most_accurate(problem)]
    return ranked((_candidate(problem, points, threads, accuracy) for points in allowed), memory)


def _keeps(problem: Problem, points: Triple, accuracy: Accuracy) -> bool:
    return error(problem, points) <= accuracy.error and (is_local(problem, points) or not accuracy.local)


def _most_accurate(problem: Problem) -> Triple:
    return min(tiles_for(problem), key=lambda points: (not is_local(problem, points), error(problem, points)))


def expected_error(problem: Problem, tile: Triple, kernel: Array, threads: int, keep: bool = True) -> float:
    """Return the error to expect of a kernel, and keep what its products are made from, or take next to no memory."""

    def made() -> float:
        if keep:
            return error_of(problem, tile, kernel, _energies(_kept(problem, plain(kernel), tile, threads), tile))
        alone = replace(problem, channels=kernel.shape[3], filters=FEW_FILTERS, groups=1)
        parts = [kernel[..., f : f + FEW_FILTERS] for f in range(0, problem.filters, FEW_FILTERS)]
        return max(error_of(alone, tile, p, _energies(transformed(alone, p.copy(), tile, 1), tile)) for p in parts)

    return KERNELS.get(("winograd error", tile, problem.strides, problem.groups), kernel, made, size=lambda _: 0)


def _energies(kernels: Any, tile: Triple) -> Array:
    """Return the squares of transformed kernels, summed over the channels: (F, points of D, of H, of W)."""
    sums, (d, h, w) = np.empty(kernels.sums), tile
    kernels.energies(sums)
    return sums.reshape(kernels.groups, h, w, d, -1).transpose(0, 4, 3, 1, 2).reshape(-1, d, h, w)


def _candidate(problem: Problem, points: Triple, threads: int, accuracy: Accuracy) -> Candidate:
    layout = active_layout(problem, points, threads)
    kernel = 2 * problem.taps * problem.channels // problem.groups * problem.filters  # kept, and to be compared with it
    elements = weight_elements(problem, points) + kernel
    outputs, most = "x".join(map(str, layout.step)), worst(problem, points)
    return Candidate(
        "winograd",
        seconds=layout.seconds,
        scratch_bytes=elements * ITEMSIZE[problem.dtype] + layout.scratch_bytes * min(threads, layout.items),
        error=error(problem, points),
        local=is_local(problem, points),
        detail=f"tiles of {outputs} outputs, {isas.active()}",
        tile=points,
        transform=problem.dtype,
        at_worst=most if most > accuracy.error else None,
    )


@lru_cache(maxsize=256)
def _axes(module: Any, problem: Problem, steps: Triple, blocks: Triple) -> list[Any]:
    from conv3d_cli.engine.cook_toom import cook_toom

    made = []
    by_axis = zip(taps(problem), steps, gaps(problem), blocks, problem.padding, strict=True)
    for k, step, gap, tiles, (before, _) in by_axis:
        matrices = cook_toom(step, k)
        made.append(
            module.WinogradAxis(
                before=before,
                dilation=gap,
                tiles=tiles,
                inputs=matrices.input_factors,
                outputs=matrices.output_factors,
            )
        )
    return made
