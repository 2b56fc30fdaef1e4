"""Where a block's slab keeps the positions that it reads.

A block of outputs reads a window of the input. The window is packed into a slab in which output ``o``
finds the value for tap ``k`` of an axis at ``slots[k] + o``, whatever stride, dilation and padding are:
positions one stride apart lie next to each other, in bands. Taps whose positions overlap share a band; taps
far apart have bands of their own, so that what no output reads takes no room.
"""

from __future__ import annotations

from typing import Any

from conv3d_cli.engine.problem import Problem
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import Triple

PAGE = 4096
MAX_SPLITS = 64


@frozen
class Axis:
    """One axis: its blocks, and its entries in the slab. A band is ``(position, start, length)``."""

    size: int
    outputs: int
    block: int
    stride: int
    before: int
    extent: int
    bands: tuple[tuple[int, int, int], ...]
    slots: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """Blocks along the axis."""
        return -(-self.outputs // self.block)


def axis_of(problem: Problem, index: int, block: int, align: int = 1) -> Axis:
    """Return one axis of a problem, cut into blocks; each band starts at a multiple of ``align`` entries.

    >>> axis_of(Problem((9, 9, 9), (3, 3, 3), strides=(2, 2, 2)), 0, block=4).bands
    ((0, 0, 5), (1, 5, 4))
    """
    stride, dilation = problem.strides[index], problem.dilation[index]
    taps = sorted((k * dilation % stride, k * dilation // stride, k) for k in range(problem.kernel[index]))
    bands: list[tuple[int, int, int]] = []
    slots = [0] * len(taps)
    phase, first, start, end = -1, 0, 0, 0
    for p, q, k in taps:
        if p != phase or q > first + (end - start):
            if phase >= 0:
                bands.append((first * stride + phase, start, end - start))
            phase, first, start = p, q, -(-end // align) * align
        end = start + q - first + block
        slots[k] = start + q - first
    bands.append((first * stride + phase, start, end - start))
    return Axis(
        problem.size[index],
        problem.output_size[index],
        block,
        stride,
        problem.padding[index][0],
        -(-end // align) * align,
        tuple(bands),
        tuple(slots),
    )


def columns_of(problem: Problem) -> bool:
    """Return whether the taps of a column lie next to each other in the slab, as tiles of one filter sum them."""
    return problem.dilation[1] == problem.strides[1]


def splits(outputs: int, unit: int) -> list[int]:
    """Sizes of nearly equal blocks along an axis, in multiples of ``unit``, largest first."""
    sizes = {
        min(-(-outputs // (parts * unit)) * unit, outputs)
        for parts in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, MAX_SPLITS)
    }
    sizes.add(min(unit, outputs))
    return sorted(sizes, reverse=True)


def whole(pitches: tuple[Any, Any, Any]) -> Triple:
    """Return pitches as whole numbers of Python."""
    row, plane, volume = map(int, pitches)
    return row, plane, volume


def lined(width: Any, lanes: int) -> Any:
    """Return a width in whole vectors."""
    return -(-width // lanes) * lanes


def pitches(width: Any, height: Any, depth: Any, lanes: int, itemsize: int) -> tuple[Any, Any, Any]:
    """Row, plane and volume in elements; none a multiple of a page, which would crowd into one cache set.

    Numbers, or arrays of them.
    """
    row = _off_page(width, lanes, itemsize)
    plane = _off_page(row * height, lanes, itemsize)
    return row, plane, _off_page(plane * depth, lanes, itemsize)


def _off_page(elements: Any, lanes: int, itemsize: int) -> Any:
    return elements + lanes * (elements * itemsize % PAGE == 0)
