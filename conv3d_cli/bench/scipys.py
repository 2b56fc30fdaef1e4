"""Convolutions by SciPy: of one channel with one filter, kernels of odd size, no stride and no dilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conv3d_cli.bench.cases import TRUNCATE, Case
from conv3d_cli.engine.blocks import Array

Call = Callable[[], Array]


def is_plain(case: Case) -> bool:
    """Return whether filters for images can do it: one channel, one filter, every output, an odd kernel."""
    return (case.channels, case.filters, case.stride, case.dilation) == (1, 1, 1, 1) and all(k % 2 for k in case.kernel)


def correlate(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return scipy.ndimage.correlate, which has one thread."""
    if not is_plain(case):
        return None
    from scipy import ndimage

    weights = np.ascontiguousarray(kernel[..., 0, 0])
    return lambda: ndimage.correlate(x[0, 0], weights, mode="constant")[None, None]


def named(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return the function of scipy.ndimage for a kernel with a name, which has one thread."""
    if case.values is None or not is_plain(case):
        return None
    from scipy import ndimage

    name, number = case.values
    image = x[0, 0]

    def sobel() -> Array:
        result: Array = ndimage.correlate1d(image, [-1.0, 0.0, 1.0], 0, mode="constant")
        for axis in (1, 2):
            result = ndimage.correlate1d(result, [1.0, 2.0, 1.0], axis, mode="constant")
        return result

    calls: dict[str, Call] = {
        "gaussian": lambda: ndimage.gaussian_filter(image, number, mode="constant", truncate=TRUNCATE),
        "box": lambda: ndimage.uniform_filter(image, number, mode="constant"),
        "sobel": sobel,
        "laplacian": lambda: ndimage.laplace(image, mode="constant"),
    }
    return lambda: calls[name]()[None, None]


def fftconvolve(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return scipy.signal.fftconvolve, on several threads."""
    return _signal("fftconvolve", case, x, kernel, threads)


def oaconvolve(case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    """Return scipy.signal.oaconvolve, on several threads."""
    return _signal("oaconvolve", case, x, kernel, threads)


def _signal(name: str, case: Case, x: Array, kernel: Array, threads: int) -> Call | None:
    if not is_plain(case):
        return None
    from scipy import fft, signal

    function: Any = getattr(signal, name)
    flipped = np.ascontiguousarray(kernel[::-1, ::-1, ::-1, 0, 0])

    def call() -> Array:
        with fft.set_workers(threads):
            values: Array = function(x[0, 0], flipped, mode="same")[None, None]
        return values

    return call
