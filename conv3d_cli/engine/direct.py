"""The direct method: the defining sum itself, by compiled kernels, for every stride and kernel size.

A NaN or an infinity of the input reaches exactly the outputs whose window holds it, those of taps of weight zero too.
Such taps are left out where a block's input is finite. Columns of taps that have equal weights, as in symmetric
kernels, are summed before they are multiplied.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, plain, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.direct_layout import Layout, channel_chunk_of, layout_of
from conv3d_cli.engine.direct_slab import Axis, columns_of
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.register_tile import tile_of
from conv3d_cli.engine.threads import carry_out
from conv3d_cli.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

FEWEST = 0.05  # the share of a kernel's taps that may be left
LOOK_SECONDS = 5e-4  # what is over sooner than this is not worth looking at the kernel for
LIST_BYTES = 16 << 20  # where lists of taps would take more, no tap is left out: as in kernel_taps.cpp
LIST_ENTRY = 16  # bytes for a tap in such a list, with what making it takes


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what the method offers for a kernel of which every tap counts, and ``at_best`` for one of few taps."""
    if isas.active() == isas.NUMPY:
        return [_refused()]
    best = seconds(problem, threads, FEWEST)
    return [
        Candidate(
            "direct",
            seconds=seconds(problem, threads),
            scratch_bytes=scratch_bytes(problem, threads) + _list_bytes(problem),
            detail=f"register tiles, {isas.active()}",
            at_best=best if problem.taps > 1 and best > LOOK_SECONDS else None,
        )
    ]


def offers(problem: Problem, kernel: Array, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what the method offers for this very kernel, (kd, kh, kw, C / groups, F) as the problem has its axes."""
    module = isas.native()
    if module is None or isas.active() == isas.NUMPY:
        return [_refused()]
    portion = _portion(module, problem, kernel)
    left = f", {portion:.0%} of the work for all taps" if portion < 1 else ""
    return [
        Candidate(
            "direct",
            seconds=seconds(problem, threads, portion),
            scratch_bytes=scratch_bytes(problem, threads, portion) + (_list_bytes(problem) if portion < 1 else 0),
            detail=f"register tiles{left}, {isas.active()}",
            portion=portion,
        )
    ]


def _list_bytes(problem: Problem) -> int:
    """Return the bytes of the lists of taps, one for each block of filters, where not all taps of a kernel count."""
    most, filters = tile_of(isas.active()).filters, problem.filters // problem.groups
    blocks = filters // most + (filters % most).bit_count()
    size = LIST_ENTRY * problem.taps * problem.channels * blocks
    return size if size <= LIST_BYTES else 0


def _refused() -> Candidate:
    return Candidate("direct", refused=f"no compiled kernel: {isas.why_missing()}")


def _portion(module: Any, problem: Problem, kernel: Array) -> float:
    """Return the work that a kernel's taps are, as a share of what as many would be without zeros or equal weights."""
    if 0 in problem.output_shape or 0 in kernel.shape:
        return 1.0
    isa = isas.active()
    chunk, columns = channel_chunk_of(problem, isa), columns_of(problem)
    return float(module.cost_share(isa, plain(kernel), problem.groups, chunk, columns))


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
    portion: float = 1.0,
) -> None:
    """Compute the convolution of ``x`` (N, C, D, H, W) into ``out`` (N, F, D', H', W'), both of any strides.

    ``kernel`` has the shape (kd, kh, kw, C / groups, F). ``tick`` is called now and then with the fraction
    done. ``portion`` of the work is expected to be left after what the kernel's values save; it changes no bit of the
    result, nor does the number of threads. Raises MethodError where the kernels are not built, UsageError if
    ``CONV3D_ISA`` names an instruction set that cannot run.
    """
    if 0 in out.shape:
        return
    if not (whole_strides(x) and whole_strides(out)):
        x, whole = x.copy(), np.empty(out.shape, out.dtype)
        run(problem, x, kernel, bias, whole, threads=threads, tick=tick, isa=isa, portion=portion)
        out[...] = whole
        return
    isa = isa or isas.active()
    module = isas.native()
    if module is None:
        raise MethodError(f"method: 'direct' cannot run: {isas.why_missing()}")
    layout = layout_of(problem, threads, isa, out.strides[4] == out.itemsize, portion)
    boundary = native_boundary(problem)
    native = _native_layout(module, problem.groups, layout)
    job = module.Job(isa, native, boundary, x, plain(kernel), plain(bias), out)
    carry_out(job, threads, seconds=layout.seconds, tick=tick)


def scratch_bytes(problem: Problem, threads: int, portion: float = 1.0) -> int:
    """Return the bytes that ``run`` takes beside its arrays: a slab for each thread, and the packed weights.

    >>> scratch_bytes(Problem((64, 64, 64), (3, 3, 3)), threads=2) < 4 << 20
    True
    """
    if 0 in problem.output_shape:
        return 0
    isa = isas.active()
    if isa == isas.NUMPY:
        return 0
    layouts = [layout_of(problem, threads, isa, planar, portion) for planar in (True, False)]
    tile = tile_of(isa)
    rows = max(rows << i for i, rows in enumerate(tile.rows) if 1 << i <= tile.filters)
    slabs = max(
        a.channel_chunk * a.slab[2] + max(a.filter_chunk * a.out[2], rows * a.out[0]) + PAGE_ELEMENTS for a in layouts
    )
    weights = prod(problem.kernel_shape) * ITEMSIZE[problem.dtype]
    offsets = 2 * 8 * problem.taps * layouts[0].channel_chunk
    return threads * slabs * ITEMSIZE[problem.dtype] + weights + offsets


def seconds(problem: Problem, threads: int, portion: float = 1.0) -> float:
    """Return the predicted time of ``run`` on this machine, in seconds; infinity where the kernels are not built.

    ``portion`` of the work is what the kernel's values leave of it.

    >>> small, large = Problem((32, 32, 32), (3, 3, 3)), Problem((64, 64, 64), (3, 3, 3))
    >>> seconds(small, 1) < seconds(large, 1) or isas.native() is None
    True
    """
    if 0 in problem.output_shape:
        return 0.0
    isa = isas.active()
    return float("inf") if isa == isas.NUMPY else layout_of(problem, threads, isa, True, portion).seconds


PAGE_ELEMENTS = 1024


@lru_cache(maxsize=256)
def _native_layout(module: Any, groups: int, layout: Layout) -> Any:
    return module.Layout(
        axes=[native_axis(module, axis) for axis in layout.axes],
        groups=groups,
        channel_chunk=layout.channel_chunk,
        filter_chunk=layout.filter_chunk,
        slab=layout.slab,
        out=layout.out,
        columns=layout.columns,
        stream=layout.stream,
    )


def native_axis(module: Any, axis: Axis) -> Any:
    """Return an axis as compiled code reads it."""
    return module.Axis(
        size=axis.size,
        outputs=axis.outputs,
        block=axis.block,
        stride=axis.stride,
        before=axis.before,
        extent=axis.extent,
        bands=list(axis.bands),
        slots=list(axis.slots),
    )
