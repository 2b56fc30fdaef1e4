"""The method ``toom``: the direct sum with a Cook-Toom transform along its slowest axis, for few channels.

A tile of n planes of the input yields m = n - r + 1 planes of outputs of a kernel of r taps along that axis, from n
products for each tap along the other two in place of m * r: 13.5 for a voxel in place of 27 with 3^3 taps and tiles
of 4 outputs, 50 in place of 125 with 5^3. One channel, or one filter, is enough for it to pay: the transforms of one
axis cost little beside the products, where those of three (``winograd``) cost as much.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, plain, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate, first_proven, ranked
from conv3d_cli.engine.direct import native_axis
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.problem import ITEMSIZE, Problem, Real
from conv3d_cli.engine.threads import carry_out
from conv3d_cli.engine.toom_layout import ToomLayout, layout_of
from conv3d_cli.engine.winograd_error import error, error_of, worst
from conv3d_cli.engine.winograd_layout import POINTS
from conv3d_cli.errors import MethodError
from conv3d_cli.shapes import Triple

MOST_CHANNELS = 16
MOST_TAPS = 5
MOST_TERMS = 288  # that are summed one after the other, as in tap_lists.cpp
SEEN = 1.6  # of the errors that winograd_error.py expects, 1.4 times were seen: many taps, and one axis to lose them in
TOO_LARGE = "taps so far apart that no block fits into the cache"
LIST_BYTES = 24  # for each tap of a point in the lists of taps, with what making them takes


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest tile that keeps the accuracy and fits in ``memory`` bytes, else the leanest.

    That is for weights spread over the taps; ``at_worst`` tells of those that may lose more than ``accuracy`` allows.
    """
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("toom", refused=reason)]
    ways = _ways(problem, threads, accuracy, memory, isas.active())
    return [ways[0] if ways else Candidate("toom", refused=TOO_LARGE)]


def proven(problem: Problem, kernel: Array, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what ``candidates`` would for this very kernel, (kd, kh, kw, C / groups, F) in the problem's axes."""
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("toom", refused=reason)]

    def expected(way: Candidate) -> float:
        assert way.tile is not None
        return expected_error(problem, way.tile, kernel)

    found = first_proven(_ways(problem, threads, accuracy, memory, isas.active()), expected, accuracy)
    return [found or Candidate("toom", refused=TOO_LARGE)]


def refusal(problem: Problem) -> str | None:
    """Return why the method cannot serve a problem, or None.

    >>> refusal(Problem((9, 9, 9), (3, 3, 3), strides=(2, 1, 1)))
    'a stride of 2 along the slowest axis'
    """
    if isas.active() == isas.NUMPY:
        return f"no compiled kernel: {isas.why_missing()}"
    if problem.strides[0] > 1:
        return f"a stride of {problem.strides[0]} along the slowest axis"
    if problem.dilation[0] > 1:
        return f"a dilation of {problem.dilation[0]} along the slowest axis"
    if not 1 < problem.kernel[0] <= MOST_TAPS:
        return f"{problem.kernel[0]} taps along the slowest axis, not 2 to {MOST_TAPS}"
    if problem.channels // problem.groups > MOST_CHANNELS:
        return f"more than {MOST_CHANNELS} channels in a group"
    return None


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

    ``tile`` holds the inputs of a tile along each axis, 1 along H and W; ``transform`` is the problem's dtype. The
    result has the same bits for any number of threads. Raises MethodError where the kernels are not built.
    """
    module = isas.native()
    if module is None:
        raise MethodError(f"method: 'toom' cannot run: {isas.why_missing()}")
    whole = out if whole_strides(out) else np.empty(out.shape, out.dtype)
    layout = layout_of(problem, tile[0], threads, isas.active())
    if layout is None:
        raise MethodError(f"method: 'toom' cannot run: {TOO_LARGE}")
    x = x if whole_strides(x) else x.copy()
    taps = _transformed(problem, plain(kernel), tile[0])
    native = native_layout(module, problem, tile[0], layout)
    job = module.Job(isas.active(), native, native_boundary(problem), x, taps, plain(bias), whole)
    carry_out(job, threads, seconds=layout.seconds, tick=tick)
    if whole is not out:
        out[...] = whole


def expected_error(problem: Problem, tile: Triple, kernel: Array) -> float:
    """Return the error to expect of a kernel."""

    def made() -> float:
        depth, *_, filters = kernel.shape
        points = _at_points(kernel, tile[0])
        energies = np.square(points).sum(axis=(1, 2, 3)).T.reshape(filters, tile[0], 1, 1)
        alone = kernel.reshape(depth, 1, 1, -1, filters)
        return SEEN * error_of(_along(problem), (tile[0], 1, 1), alone, energies, MOST_TERMS)

    return KERNELS.get(("toom error", tile, problem.groups), plain(kernel), made, size=lambda _: 0)


def _along(problem: Problem) -> Problem:
    """Return the sum along D alone, for which the taps along H and W are as many channels."""
    taps = problem.kernel[1] * problem.kernel[2] * problem.channels // problem.groups
    kernel = (problem.kernel[0], 1, 1)
    return Problem(problem.size, kernel, channels=taps, filters=problem.filters, dtype=problem.dtype)


def _at_points(kernel: Array, points: int) -> Array:
    """Return a kernel's values at the points of a tile, (points, kh, kw, C / groups, F), in float64."""
    from conv3d_cli.engine.cook_toom import cook_toom

    taps = kernel.shape[0]
    matrix = np.array(cook_toom(points - taps + 1, taps).kernel, np.float64)
    values: Array = np.tensordot(matrix, kernel.astype(np.float64), 1)
    return values


def _transformed(problem: Problem, kernel: Array, points: int) -> Array:
    """Return a kernel as the direct sums read it, a group for each point: (1, kh, kw, C / groups, points * F)."""

    def made() -> Array:
        values = _at_points(kernel, points).transpose(1, 2, 3, 0, 4).reshape(1, *kernel.shape[1:4], -1)
        return np.ascontiguousarray(values, problem.dtype)

    return KERNELS.get(("toom", points), kernel, made, size=lambda made: made.nbytes)


@lru_cache(maxsize=256)
def _ways(problem: Problem, threads: int, accuracy: Accuracy, memory: int, isa: str) -> tuple[Candidate, ...]:
    """Return the tiles that keep the accuracy: those that fit in memory by time, then the others by memory."""
    made = [
        _candidate(problem, n, threads, accuracy, layout)
        for n in POINTS[problem.kernel[0]]
        if (layout := layout_of(problem, n, threads, isa)) is not None
    ]
    keeping = [way for way in made if way.keeps(accuracy)]
    return ranked(keeping or sorted(made, key=lambda way: way.error)[:1], memory)


def _candidate(problem: Problem, points: int, threads: int, accuracy: Accuracy, layout: ToomLayout) -> Candidate:
    along, tile = _along(problem), (points, 1, 1)
    step, most = points - problem.kernel[0] + 1, SEEN * worst(along, tile, MOST_TERMS)
    elements = layout.elements * min(threads, layout.direct.items)
    weights = points * problem.taps // problem.kernel[0] * problem.channels // problem.groups * problem.filters
    lists = LIST_BYTES * weights // max(problem.filters // problem.groups, 1)
    return Candidate(
        "toom",
        seconds=layout.seconds,
        scratch_bytes=(elements + 3 * weights) * ITEMSIZE[problem.dtype] + lists,
        error=SEEN * error(along, tile, MOST_TERMS),
        local=False,
        detail=f"tiles of {step} outputs along one axis, {isas.active()}",
        tile=tile,
        transform=problem.dtype,
        at_worst=most if most > accuracy.error else None,
    )


@lru_cache(maxsize=256)
def native_layout(module: Any, problem: Problem, points: int, layout: ToomLayout) -> Any:
    """Return the layout as compiled code reads it, with the matrices of the tile."""
    from conv3d_cli.engine.cook_toom import cook_toom

    blocks, step = layout.direct, points - problem.kernel[0] + 1
    matrices = cook_toom(step, problem.kernel[0])
    return module.Layout(
        axes=[native_axis(module, axis) for axis in blocks.axes],
        groups=problem.groups,
        channel_chunk=blocks.channel_chunk,
        filter_chunk=blocks.filter_chunk,
        slab=blocks.slab,
        out=blocks.out,
        columns=blocks.columns,
        stream=blocks.stream,
        toom=(points, step, matrices.input_factors, matrices.output_factors),
    )
