"""Blocks of an output, and the padded windows of the input that they read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from conv3d_cli.engine.problem import Problem
from conv3d_cli.shapes import Triple, window

Array: TypeAlias = NDArray[Any]
Span: TypeAlias = tuple[int, int]


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
    """Return the input that the outputs in ``spans`` read: ``(channels, *window)``, zeros where it leaves the volume.

    ``x`` is ``(channels, D, H, W)``. With ``shape`` the window is filled up with zeros at its end.
    """
    read = [
        window(lo, hi, k, s, d, pads[0])
        for (lo, hi), k, s, d, pads in zip(
            spans, problem.kernel, problem.strides, problem.dilation, problem.padding, strict=True
        )
    ]
    full = shape or tuple(hi - lo for lo, hi in read)
    inside = [(max(lo, 0), min(hi, n)) for (lo, hi), n in zip(read, problem.size, strict=True)]
    slab = np.zeros((x.shape[0], *full), dtype)
    if all(lo < hi for lo, hi in inside):
        to = tuple(slice(a - lo, b - lo) for (lo, _), (a, b) in zip(read, inside, strict=True))
        slab[(slice(None), *to)] = x[(slice(None), *(slice(a, b) for a, b in inside))]
    return slab


def whole_strides(array: Array) -> bool:
    """Whether every stride is a whole number of elements, as compiled code needs; those of a record's field may not be.

    >>> whole_strides(np.zeros((2, 3))[:, ::-2])
    True
    """
    return bool(array.flags.aligned) and all(stride % array.itemsize == 0 for stride in array.strides)
