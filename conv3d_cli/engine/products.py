"""The gradient of a kernel as matrix products: each tap is the product of the input that it saw with the upstream.

Windows of the input are gathered block by block into a matrix of at most BLOCK_VALUES numbers, products of a block are
added up in float64, so that the error does not grow with the volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from threading import Lock

import numpy as np

from conv3d_cli.engine import costs
from conv3d_cli.engine.blocks import Array, Span
from conv3d_cli.engine.problem import Problem
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import voxels

BLOCK_VALUES = 1 << 20
LONGEST_SUM = 1 << 13
"""Terms that are added up in the problem's own precision."""

PRODUCT_SECONDS = {"float32": 2.5e-11, "float64": 5e-11}
"""One multiply-add of a matrix product with enough rows and columns, on one core."""

SMALL = 1 << 18
"""Multiply-adds up to which NumPy's matrix library starts no threads of its own."""

FEW = 8
"""Rows or columns that are too few for a product to be worth its call."""

NARROW = 32
"""Rows and columns below which a product takes as long as one of so many."""

GATHER_SECONDS = 0.4e-9
"""One value of a window copied."""

CALL_SECONDS = 5e-6
"""Fixed cost of one window or one product, from Python."""


@frozen
class Block:
    """A part of the work: planes and rows of the windows, and taps of a plane, for one group of one item."""

    item: int
    group: int
    phase: int
    planes: Span
    rows: Span
    taps: Span


def kernel_products(problem: Problem, x: Array, upstream: Array, threads: int) -> Array:
    """Return the kernel's gradient ``problem.kernel_shape`` in float64.

    ``x`` is (N, C, D, H, W) and ``upstream`` (N, F, D', H', W'), of any strides, in the problem's dtype. Beside them
    each thread takes the windows of a block, at most BLOCK_VALUES numbers, or a row of one tap where that is more.

    >>> ones = np.ones((1, 1, 3, 3, 3), np.float32)
    >>> problem = Problem(size=(3, 3, 3), kernel=(2, 2, 2))
    >>> float(kernel_products(problem, ones, ones[:, :, 1:, 1:, 1:], threads=1).min())
    8.0
    """
    total = np.zeros(problem.kernel_shape)
    pieces, lock = Pieces(_blocks(problem)), Lock()

    def work() -> None:
        memory = np.empty(_values(problem), problem.dtype)
        with np.errstate(all="ignore"):
            for block in pieces:
                _add(problem, x, upstream, block, memory, total, lock)

    share(work, threads, stop=pieces.close)
    return total


def seconds(problem: Problem, threads: int) -> float:
    """Return the predicted time of ``kernel_products``.

    >>> small, large = Problem((32, 32, 32), (3, 3, 3)), Problem((64, 64, 64), (3, 3, 3))
    >>> seconds(small, 1) < seconds(large, 1)
    True
    """
    (d, h, w), (kd, kh, kw) = problem.output_size, problem.kernel
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    chunk, rows, depth = _shape(problem)
    planes = problem.strides[0] * -(-(d + kd * problem.dilation[0] // problem.strides[0]) // depth)
    blocks = planes * -(-kh * kw // chunk) * -(-h // rows) * problem.batch * problem.groups
    gathered = problem.batch * problem.channels * kh * kw * planes * depth * h * w * GATHER_SECONDS
    waste = max(NARROW / (chunk * channels), 1) * max(NARROW / filters, 1)
    arithmetic = problem.multiply_adds * waste * PRODUCT_SECONDS[problem.dtype] / costs.speedup(threads)
    return arithmetic + gathered + blocks * (chunk + kd) * CALL_SECONDS + costs.THREADS_START


def _shape(problem: Problem) -> tuple[int, int, int]:
    """Return how many taps of a plane, rows and planes one block holds."""
    _, h, w = problem.output_size
    channels = problem.channels // problem.groups
    taps = problem.kernel[1] * problem.kernel[2]
    chunk = min(max(BLOCK_VALUES // (channels * min(h * w, LONGEST_SUM // 4)), 1), taps)
    rows = min(max(min(BLOCK_VALUES // (chunk * channels), LONGEST_SUM) // w, 1), h)
    planes = min(BLOCK_VALUES // (chunk * channels), LONGEST_SUM) // (h * w) if rows == h else 1
    return chunk, rows, max(planes, 1)


def _values(problem: Problem) -> int:
    """Return how many numbers the windows of one block are."""
    chunk, rows, planes = _shape(problem)
    return chunk * rows * planes * problem.output_size[2] * (problem.channels // problem.groups)


def _blocks(problem: Problem) -> Iterator[Block]:
    chunk, rows, depth = _shape(problem)
    taps = problem.kernel[1] * problem.kernel[2]
    for item, group, phase in product(range(problem.batch), range(problem.groups), range(problem.strides[0])):
        shifts = [shift for _, shift in _taps(problem, phase)]
        if shifts:
            planes = _spans(min(shifts), problem.output_size[0] + max(shifts), depth)
            for spans in product(planes, _spans(0, problem.output_size[1], rows), _spans(0, taps, chunk)):
                yield Block(item, group, phase, *spans)


def _spans(start: int, stop: int, step: int) -> list[Span]:
    return [(a, min(a + step, stop)) for a in range(start, stop, step)]


def _taps(problem: Problem, phase: int) -> list[tuple[int, int]]:
    """Return the taps of the first axis that read planes ``m * stride + phase``, each with its shift of m."""
    stride, dilation = problem.strides[0], problem.dilation[0]
    return [(t, t * dilation // stride) for t in range(problem.kernel[0]) if t * dilation % stride == phase]


def _add(problem: Problem, x: Array, upstream: Array, block: Block, memory: Array, total: Array, lock: Lock) -> None:
    """Add to ``total`` what one block contributes to all the taps that read it."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    mine = slice(block.group * filters, (block.group + 1) * filters)
    source = x[block.item, block.group * channels : (block.group + 1) * channels]
    sums = upstream[block.item, mine, :, slice(*block.rows)]
    windows = _gathered(problem, source, block, memory)
    taps = np.unravel_index(range(*block.taps), problem.kernel[1:])
    for tap, shift in _taps(problem, block.phase):
        first = max(block.planes[0] - shift, 0)
        last = min(block.planes[1] - shift, problem.output_size[0])
        if first >= last:
            continue
        seen = windows[:, :, first + shift - block.planes[0] : last + shift - block.planes[0]]
        terms = _products(seen.reshape(len(windows), channels, -1), sums[:, first:last].reshape(filters, -1))
        with lock:
            total[tap, taps[0], taps[1], :, mine] += terms


def _products(windows: Array, sums: Array) -> Array:
    """Return the products (taps, C, F) of windows (taps, C, places) with an upstream (F, places), added up in float64.

    They are cut into pieces small enough that the matrix library computes each in the calling thread: several threads
    that each start others wait for one another.
    """
    taps, channels, places = windows.shape
    filters = len(sums)
    if channels < FEW:
        windows = windows.reshape(1, taps * channels, places)
    piece = SMALL // (windows.shape[1] * filters)
    piece = places if piece < FEW else min(piece, places)
    whole = places // piece
    cut = windows[..., : whole * piece].reshape(*windows.shape[:2], whole, piece).swapaxes(1, 2)
    parts = cut @ sums[:, : whole * piece].reshape(filters, whole, piece).transpose(1, 2, 0)
    terms = parts.sum(axis=1, dtype=np.float64) + windows[..., whole * piece :] @ sums[:, whole * piece :].T
    return np.asarray(terms.reshape(taps, channels, filters))


def _gathered(problem: Problem, x: Array, block: Block, memory: Array) -> Array:
    """Return the windows (taps, C, planes, rows, W') that a block reads of ``x`` (C, D, H, W), with zeros around it."""
    width = (0, problem.output_size[2])
    sizes = [hi - lo for lo, hi in (block.taps, block.planes, block.rows, width)]
    fast = x.strides[0] <= min(x.strides[1:])
    shape = (sizes[1], sizes[2], sizes[3], sizes[0], len(x)) if fast else (sizes[0], len(x), *sizes[1:])
    windows = memory[: voxels(shape)].reshape(shape)
    if fast:
        windows = windows.transpose(3, 4, 0, 1, 2)
    starts = [-before for before, _ in problem.padding]
    put_d, take_d = reads(block.planes, problem.strides[0], starts[0] + block.phase, problem.size[0])
    for i, tap in enumerate(range(*block.taps)):
        down, across = divmod(tap, problem.kernel[2])
        put_h, take_h = reads(block.rows, problem.strides[1], starts[1] + down * problem.dilation[1], problem.size[1])
        put_w, take_w = reads(width, problem.strides[2], starts[2] + across * problem.dilation[2], problem.size[2])
        where = windows[i, :, put_d, put_h, put_w]
        if where.size < windows[i].size:
            windows[i] = 0
        where[...] = x[:, take_d, take_h, take_w]
    return windows


def reads(span: Span, stride: int, start: int, size: int) -> tuple[slice, slice]:
    """Return which of the outputs in a span read a voxel of an axis, counted from the span's start, and which voxels.

    >>> reads((0, 4), 2, -1, 6)
    (slice(1, 4, None), slice(1, 7, 2))
    """
    first = max(span[0], -(start // stride))
    last = max(min(span[1], (size - 1 - start) // stride + 1), first)
    if first == last:
        return slice(0, 0), slice(0, 0)
    return slice(first - span[0], last - span[0]), slice(start + first * stride, start + last * stride, stride)
