"""Blocks of an output, and the padded windows of the input that they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from conv3d_cli.engine.boundary import Places
from conv3d_cli.engine.problem import Problem
from conv3d_cli.shapes import Triple, window

Array: TypeAlias = NDArray[Any]
Span: TypeAlias = tuple[int, int]
Given = TypeVar("Given", NDArray[Any], NDArray[Any] | None)


def blocks(size: Triple, block: Triple) -> Iterator[tuple[Span, Span, Span]]:
    """Yield half-open ranges along each axis that tile a volume.

    >>> list(blocks((1, 1, 5), (1, 1, 3)))
    [((0, 1), (0, 1), (0, 3)), ((0, 1), (0, 1), (3, 5))]
    """
    z, y, x = ([(a, min(a + step, n)) for a in range(0, n, step)] for n, step in zip(size, block, strict=True))
    yield from product(z, y, x)


def padded_window(
    problem: Problem, x: Array, spans: tuple[Span, Span, Span], dtype: DTypeLike, shape: Triple | None = None
) -> Array:
    """Return the input that the outputs in ``spans`` read: ``(channels, *window)``, the boundary where it leaves it.

    ``x`` is ``(channels, D, H, W)``. With ``shape`` the window is filled up at its end with values that no output
    reads, those of a constant boundary or zeros.
    """
    read = [
        window(lo, hi, k, s, d, pads[0])
        for (lo, hi), k, s, d, pads in zip(
            spans, problem.kernel, problem.strides, problem.dilation, problem.padding, strict=True
        )
    ]
    full = shape or tuple(hi - lo for lo, hi in read)
    slab = np.zeros((x.shape[0], *full), dtype)
    if problem.boundary.value:
        slab.fill(problem.boundary.value)
    for parts in product(*(_parts(problem, axis, *span) for axis, span in enumerate(read))):
        slab[(slice(None), *(to for to, _ in parts))] = x[(slice(None), *_together([source for _, source in parts]))]
    return slab


def _together(sources: Sequence[slice | Places]) -> Sequence[slice | Places]:
    """Return an index of three axes, each a slice or a list of places: slices alone are a view, others are gathered."""
    if all(isinstance(source, slice) for source in sources):
        return sources
    return np.ix_(*(np.r_[source] if isinstance(source, slice) else source for source in sources))


def _parts(problem: Problem, axis: int, lo: int, hi: int) -> list[tuple[slice, slice | Places]]:
    """Return where the positions ``lo`` to ``hi`` of an axis go in a window, and what of the input they are.

    Those inside of the input are one slice; those outside are read place by place, unless they are constant.
    """
    size, (before, after) = problem.size[axis], problem.padding[axis]
    first, last = min(max(lo, 0), size), max(min(hi, size), 0)
    parts: list[tuple[slice, slice | Places]] = []
    if first < last:
        parts.append((slice(first - lo, last - lo), slice(first, last)))
    if problem.boundary.is_constant:
        return parts
    places = problem.boundary.places(size, before, after)[lo + before : hi + before]
    for begin, end in ((lo, min(hi, 0)), (max(lo, size), hi)):
        if begin < end:
            parts.append((slice(begin - lo, end - lo), places[begin - lo : end - lo]))
    return parts


def whole_strides(array: Array) -> bool:
    """Whether every stride is a whole number of elements, as compiled code needs; those of a record's field may not be.

    >>> whole_strides(np.zeros((2, 3))[:, ::-2])
    True
    """
    flags = array.flags
    return flags.aligned and (flags.c_contiguous or all(stride % array.itemsize == 0 for stride in array.strides))


def plain(array: Given) -> Given:
    """Return an array with whole strides: itself, or a copy of it. What is not given stays so.

    >>> plain(None) is None
    True
    """
    return array if array is None or whole_strides(array) else array.copy()


def packed(array: Given) -> Given:
    """Return an array whose elements lie side by side, each at its own address: itself, or a copy of it.

    What is not given stays so. NumPy counts an array as contiguous wherever it begins, in the middle of a number too.

    >>> packed(np.zeros((2, 3))[:, ::2]).flags.c_contiguous
    True
    """
    if array is None or (array.flags.c_contiguous and array.flags.aligned):
        return array
    return np.require(array, requirements=("C", "A"))
