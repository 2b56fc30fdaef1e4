"""A small kernel as a person reads it: its slices side by side, for each input channel and filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: What is small enough to print unasked: values of one kernel, and kernels (pairs of a channel and a filter).
MOST_TAPS, MOST_KERNELS, MOST_VALUES = 125, 8, 16
WIDTH = 100
BETWEEN = " " * 5


def small(shape: tuple[int, ...]) -> bool:
    """Return whether an array is printed unasked: a kernel of about 5^3 taps and a few channels, or a short bias."""
    size = int(np.prod(shape, dtype=object))
    if len(shape) == 5:
        taps = shape[0] * shape[1] * shape[2]
        return taps <= MOST_TAPS and size <= MOST_KERNELS * taps
    return size <= MOST_VALUES


def values_text(name: str, array: NDArray[Any], layout: str | None = "keras") -> Iterator[str]:
    """Yield the lines that show an array: slices along the first spatial axis if it is a kernel, else the values.

    ``layout`` says where a kernel of rank 5 has its spatial axes: first for Keras, last for ``"torch"``.

    >>> for line in values_text("kernel", np.arange(8.0).reshape(2, 2, 2, 1, 1)):
    ...     print(line)
    kernel, channel 0, filter 0:
      0  1     4  5
      2  3     6  7
    """
    if array.ndim != 5:
        yield f"{name}: {' '.join(_words(array.ravel()))}"
        return
    kernels = array.transpose(2, 3, 4, 1, 0) if layout == "torch" else array
    for channel in range(kernels.shape[3]):
        for filter_ in range(kernels.shape[4]):
            yield f"{name}, channel {channel}, filter {filter_}:"
            yield from kernel_text(kernels[..., channel, filter_])


def kernel_text(kernel: NDArray[Any]) -> Iterator[str]:
    """Yield the rows of the slices of a kernel of three axes, so many of them side by side as the width takes."""
    words = _words(kernel.ravel())
    width = max(map(len, words))
    depth, height, breadth = kernel.shape
    table = np.array(words, dtype=object).reshape(kernel.shape)
    across = breadth * (width + 2) - 2 + len(BETWEEN)
    at_once = max(1, (WIDTH + len(BETWEEN)) // across)
    for first in range(0, depth, at_once):
        if first:
            yield ""
        for row in range(height):
            parts = (
                "  ".join(w.rjust(width) for w in table[z, row]) for z in range(first, min(depth, first + at_once))
            )
            yield f"  {BETWEEN.join(parts)}"


def _words(values: NDArray[Any]) -> list[str]:
    # Adding 0 leaves no sign on a zero.
    return [f"{value + 0.0:.4g}" for value in values.astype(np.float64)]
