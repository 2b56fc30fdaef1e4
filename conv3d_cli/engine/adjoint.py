"""The gradients of a convolution with respect to its input and its kernel, as convolutions again.

For the input each residue of a voxel's position modulo the strides is a convolution of its own: of the upstream
gradient with every other tap of the kernel, flipped, channels and filters swapped. No zeros are inserted, so no work is
done for them. For the kernel the batch is summed over as channels are, and strides and dilation change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import gcd

import numpy as np

from conv3d_cli.engine import products
from conv3d_cli.engine.around import folded, padded, unpadded
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.plan import Plan, choose, execute
from conv3d_cli.engine.problem import Problem
from conv3d_cli.errors import OverLimit
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.limits import Limits
from conv3d_cli.shapes import effective, voxels

LARGE_KERNEL = 6.0
"""How much longer than predicted the engine takes for kernels as large as the volume, at the least."""


@frozen
class Phase:
    """Along one axis: the voxels ``place`` of the input, and the correlation of the upstream that makes them.

    ``size`` counts them. ``taps`` selects the taps of the kernel, to be flipped, ``crop`` the voxels of the upstream,
    ``padding`` the zeros around those.
    """

    place: slice
    size: int
    taps: slice
    count: int
    dilation: int
    crop: slice
    padding: tuple[int, int]


def input_gradient(problem: Problem, upstream: Array, kernel: Array, out: Array, limits: Limits) -> None:
    """Write to ``out`` (N, C, D, H, W) the gradient with respect to the input; voxels that no window reads get 0.

    ``upstream`` is (N, F, D', H', W'), ``kernel`` (kd, kh, kw, C / groups, F); ``upstream`` and ``out`` may have any
    strides, all are of the problem's dtype. It takes what a convolution of the upstream takes, and with strides at most
    the input's size again; with a boundary that is not zero, also the gradient of the padded volume. Raises OverLimit
    where memory does not suffice. The sum is the adjoint of ``y[o] = sum over t of w[t] x[o * stride + t * dilation]``.

    >>> problem = Problem(size=(1, 1, 4), kernel=(1, 1, 2), strides=(1, 1, 2))
    >>> kernel, dx = np.array([1.0, 10.0], "f4").reshape(1, 1, 2, 1, 1), np.empty((1, 1, 1, 1, 4), "f4")
    >>> input_gradient(problem, np.array([3.0, 5.0], "f4").reshape(1, 1, 1, 1, 2), kernel, dx, Limits.detect())
    >>> dx.ravel().tolist()
    [3.0, 30.0, 5.0, 50.0]
    """
    if problem.bounded and problem.multiply_adds:
        inner = unpadded(problem)
        whole = np.empty((len(out), *inner.input_shape[1:]), problem.dtype)
        input_gradient(inner, upstream, kernel, whole, limits)
        folded(problem, whole, out)
        return
    out[...] = 0
    if not problem.multiply_adds:
        return
    groups = problem.groups
    swapped = _swapped(problem, kernel)
    split = out.reshape(len(out), groups, -1, *problem.size)
    for alike in product(*(_alike(phases(problem, axis)) for axis in range(3))):
        part = _stack(problem, alike)
        stacked = list(product(*alike))
        taps = np.empty((*part.kernel, *swapped.shape[3:5], len(stacked), swapped.shape[5]), problem.dtype)
        for i, each in enumerate(stacked):
            taps[..., i, :] = swapped[tuple(p.taps for p in each)][::-1, ::-1, ::-1]
        source = upstream[(slice(None), slice(None), *(p[0].crop for p in alike))]
        plan, weights = choose(part, limits), taps.reshape(part.kernel_shape)
        if len(stacked) == 1:
            execute(plan, source, weights, None, out[(slice(None), slice(None), *(p.place for p in stacked[0]))])
            continue
        result = execute(plan, source, weights, None).reshape(len(out), groups, len(stacked), -1, *part.output_size)
        for i, each in enumerate(stacked):
            split[(slice(None), slice(None), slice(None), *(p.place for p in each))] = result[:, :, i]


def kernel_gradient(problem: Problem, x: Array, upstream: Array, limits: Limits) -> Array:
    """Return the gradient with respect to the kernel, ``problem.kernel_shape``, in the problem's dtype or float64.

    ``x`` is (N, C, D, H, W), ``upstream`` (N, F, D', H', W'), both of the problem's dtype, of any strides. It is a
    correlation of the input with the upstream, served by the engine where that is predicted to be faster than one
    matrix product a tap (kernels of many taps), else by those products, which take some MB for each thread. With a
    boundary that is not zero it takes a padded copy of the input beside.

    >>> problem = Problem(size=(1, 1, 4), kernel=(1, 1, 2), strides=(1, 1, 2))
    >>> x, upstream = np.arange(4.0, dtype="f4").reshape(1, 1, 1, 1, 4), np.ones((1, 1, 1, 1, 2), "f4")
    >>> kernel_gradient(problem, x, upstream, Limits.detect()).ravel().tolist()
    [2.0, 4.0]
    """
    if problem.bounded and problem.multiply_adds:
        return kernel_gradient(unpadded(problem), padded(problem, x), upstream, limits)
    if not problem.multiply_adds or not x.size or any(_reach(problem, a) <= problem.padding[a][0] for a in range(3)):
        return np.zeros(problem.kernel_shape, problem.dtype)
    crop, part = _correlation(problem)
    try:
        plan = choose(part, limits, accuracy="strict")
    except OverLimit:
        plan = None
    if plan is None or LARGE_KERNEL * plan.seconds * problem.groups >= products.seconds(problem, limits.threads):
        return products.kernel_products(problem, x, upstream, limits.threads)
    return _correlated(problem, plan, x[(slice(None), slice(None), *crop)], upstream)


def phases(problem: Problem, axis: int) -> Iterator[Phase]:
    """Yield the phases of an axis that any tap reaches: at most as many as the stride.

    >>> [(p.place, p.count) for p in phases(Problem(size=(5, 5, 5), kernel=(3, 3, 3), strides=(2, 2, 2)), 0)]
    [(slice(0, 5, 2), 2), (slice(1, 4, 2), 1)]
    """
    size, taps, stride = problem.size[axis], problem.kernel[axis], problem.strides[axis]
    before, outputs = problem.padding[axis][0], problem.output_size[axis]
    common = gcd(stride, problem.dilation[axis])
    step, dilation = stride // common, problem.dilation[axis] // common
    for first in range(min(step, taps)):
        # Voxel i = start + m * stride is read by output m + shift - j * dilation with tap first + j * step.
        shift, start = _quotient(before - first * problem.dilation[axis], stride)
        count = (taps - 1 - first) // step + 1
        lowest = max(0, -shift)
        highest = min(-(-(size - start) // stride), outputs - shift + (count - 1) * dilation)
        if lowest < highest:
            pad, end = (count - 1) * dilation - shift - lowest, highest + shift - outputs
            yield Phase(
                slice(start + lowest * stride, start + (highest - 1) * stride + 1, stride),
                highest - lowest,
                slice(first, None, step),
                count,
                dilation,
                slice(max(-pad, 0), outputs - max(-end, 0)),
                (max(pad, 0), max(end, 0)),
            )


def _quotient(offset: int, stride: int) -> tuple[int, int]:
    """Return the least start >= 0 for which start + offset is a multiple of the stride, as (multiple, start)."""
    start = -offset % stride
    return (start + offset) // stride, start


def _alike(found: Iterable[Phase]) -> list[list[Phase]]:
    """Return the phases of an axis in lists that differ in place and taps only: these are computed together."""
    lists: dict[object, list[Phase]] = {}
    for phase in found:
        lists.setdefault((phase.size, phase.count, phase.crop.start, phase.crop.stop, phase.padding), []).append(phase)
    return list(lists.values())


def _stack(problem: Problem, alike: tuple[list[Phase], ...]) -> Problem:
    """Return the correlation of the upstream that makes all combinations of such phases, each as further filters."""
    d, h, w = (phases[0] for phases in alike)
    return replace(
        problem,
        size=(d.crop.stop - d.crop.start, h.crop.stop - h.crop.start, w.crop.stop - w.crop.start),
        kernel=(d.count, h.count, w.count),
        strides=(1, 1, 1),
        dilation=(d.dilation, h.dilation, w.dilation),
        padding=(d.padding, h.padding, w.padding),
        channels=problem.filters,
        filters=problem.channels * voxels(tuple(len(phases) for phases in alike)),
    )


def _swapped(problem: Problem, kernel: Array) -> Array:
    """Return the kernel as (kd, kh, kw, filters of a group, groups, channels of a group)."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    return kernel.reshape(*problem.kernel, channels, problem.groups, filters).transpose(0, 1, 2, 5, 4, 3)


def _reach(problem: Problem, axis: int) -> int:
    """Return how many voxels of the padded axis the windows span together."""
    extent = effective(problem.kernel[axis], problem.dilation[axis])
    return extent + (problem.output_size[axis] - 1) * problem.strides[axis]


def _correlation(problem: Problem) -> tuple[tuple[slice, ...], Problem]:
    """Return the crop of the input and the problem, of one group, whose outputs are the kernel's taps."""
    crop: list[slice] = []
    padding: list[tuple[int, int]] = []
    for axis in range(3):
        before, reach = problem.padding[axis][0], _reach(problem, axis)
        stop = min(problem.size[axis], reach - before)
        crop.append(slice(0, stop))
        padding.append((before, reach - before - stop))
    part = replace(
        problem,
        size=(crop[0].stop, crop[1].stop, crop[2].stop),
        kernel=problem.output_size,
        strides=problem.dilation,
        dilation=problem.strides,
        padding=(padding[0], padding[1], padding[2]),
        batch=problem.channels // problem.groups,
        channels=problem.batch,
        filters=problem.filters // problem.groups,
        groups=1,
    )
    return tuple(crop), part


def _correlated(problem: Problem, plan: Plan, x: Array, upstream: Array) -> Array:
    """Return the kernel's gradient by one convolution a group."""
    result = np.empty(problem.kernel_shape, problem.dtype)
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    for group in range(problem.groups):
        mine = slice(group * filters, (group + 1) * filters)
        source = x[:, group * channels : (group + 1) * channels].swapaxes(0, 1)
        kernel = np.ascontiguousarray(upstream[:, mine].transpose(2, 3, 4, 0, 1))
        execute(plan, source, kernel, None, result[..., mine].transpose(3, 4, 0, 1, 2))
    return result
