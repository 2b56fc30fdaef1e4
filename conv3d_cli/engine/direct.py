"""The direct method: the defining sum itself, by compiled kernels, for every stride and kernel size.

Every tap is applied, those of weight zero too, so that a NaN or an infinity of the input reaches exactly
the outputs whose window holds it.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, whole_strides
from conv3d_cli.engine.direct_layout import Axis, Layout, layout_of, tile_of
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.threads import share
from conv3d_cli.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE_SECONDS = 3e-4  # what is over sooner than this does not pay for starting threads


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

    ``kernel`` has the shape (kd, kh, kw, C / groups, F). ``tick`` is called now and then with the fraction
    done. The result has the same bits for any number of threads. Raises MethodError where the kernels are
    not built, UsageError if ``CONV3D_ISA`` names an instruction set that cannot run.
    """
    if 0 in out.shape:
        return
    if not (whole_strides(x) and whole_strides(out)):
        x, whole = x.copy(), np.empty(out.shape, out.dtype)
        run(problem, x, kernel, bias, whole, threads=threads, tick=tick, isa=isa)
        out[...] = whole
        return
    isa = isa or isas.active()
    module = isas.native()
    if module is None:
        raise MethodError(f"method: 'direct' cannot run: {isas.why_missing()}")
    layout = layout_of(problem, threads, isa, out.strides[4] == out.itemsize)
    boundary = native_boundary(problem)
    job = module.Job(isa, _native_layout(module, problem, layout), boundary, x, _plain(kernel), _plain(bias), out)
    workers = min(threads, layout.items)
    if layout.seconds < INLINE_SECONDS:
        job.work()
    else:
        report = (lambda: tick(job.done / job.total)) if tick is not None else None
        share(job.work, workers, stop=job.cancel, tick=report)
    if tick is not None:
        tick(1.0)


def scratch_bytes(problem: Problem, threads: int) -> int:
    """Return the bytes that ``run`` takes beside its arrays: a slab for each thread, and the packed weights.

    >>> scratch_bytes(Problem((64, 64, 64), (3, 3, 3)), threads=2) < 4 << 20
    True
    """
    if 0 in problem.output_shape:
        return 0
    isa = isas.active()
    if isa == isas.NUMPY:
        return 0
    layouts = [layout_of(problem, threads, isa, planar) for planar in (True, False)]
    rows = tile_of(isa).rows
    slabs = max(
        a.channel_chunk * a.slab[2] + max(a.filter_chunk * a.out[2], rows * a.out[0]) + PAGE_ELEMENTS for a in layouts
    )
    weights = prod(problem.kernel_shape) * ITEMSIZE[problem.dtype]
    offsets = 2 * 8 * problem.taps * layouts[0].channel_chunk
    return threads * slabs * ITEMSIZE[problem.dtype] + weights + offsets


def seconds(problem: Problem, threads: int) -> float:
    """Return the predicted time of ``run`` on this machine, in seconds; infinity where the kernels are not built.

    >>> small, large = Problem((32, 32, 32), (3, 3, 3)), Problem((64, 64, 64), (3, 3, 3))
    >>> seconds(small, 1) < seconds(large, 1) or isas.native() is None
    True
    """
    if 0 in problem.output_shape:
        return 0.0
    isa = isas.active()
    return float("inf") if isa == isas.NUMPY else layout_of(problem, threads, isa).seconds


PAGE_ELEMENTS = 1024


def _plain(array: Array | None) -> Array | None:
    return array if array is None or whole_strides(array) else array.copy()


def _native_layout(module: Any, problem: Problem, layout: Layout) -> Any:
    return module.Layout(
        axes=[_native_axis(module, axis) for axis in layout.axes],
        groups=problem.groups,
        channel_chunk=layout.channel_chunk,
        filter_chunk=layout.filter_chunk,
        slab=layout.slab,
        out=layout.out,
        columns=layout.columns,
        stream=layout.stream,
    )


def _native_axis(module: Any, axis: Axis) -> Any:
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
