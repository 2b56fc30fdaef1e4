"""Constants of the cost model for the methods that NumPy and SciPy carry out; seconds on one core of about 3 GHz.

They were fitted on one machine. Only their ratios matter for a choice, and those change little between machines.
"""

from __future__ import annotations

from math import log2

from conv3d_cli.engine.problem import ITEMSIZE

FFT_FLOPS = {"float32": 16.0e9, "float64": 11.0e9}
"""Real-to-complex transforms of tiles that stay in cache, counted as 2.5 n log2 n."""

PACES = ((64 << 20, 0.3), (4 << 20, 0.7), (0, 1.0))
"""Bytes of a tile from which on every stage slows down, and to what share of its speed."""

SPECTRUM_BYTES_PER_SECOND = 15.0e9
"""Multiplying and adding spectra, which do not fit in cache."""

MOVE_BYTES_PER_SECOND = 4.0e9
"""Copying a tile in or out, converting as it goes."""

TILE_CALL = 80e-6
"""Fixed cost of one transform call from Python."""

THREAD_GAIN = 0.85
"""Share of a further thread that shared memory bandwidth leaves."""

WORKER_GAIN = 0.4
"""The same where threads share a single transform, between whose passes they wait."""

REFERENCE_TAP = 1.6e-9
"""One tap of one channel for one voxel, float64, shift and add."""

REFERENCE_CALL = 8e-6
"""Fixed cost of one tap of one block, from Python; it does not gain from threads."""

REFERENCE_GEMM = 0.4e-9
"""The same where channels are summed by a matrix product."""


THREADS_START = 1.5e-4
"""Starting threads and waiting for the last."""


def speedup(threads: int, gain: float = THREAD_GAIN) -> float:
    """Return how many times faster several threads are than one.

    >>> speedup(1)
    1.0
    """
    return 1 + (threads - 1) * gain


def transform_seconds(points: int, transform: str) -> float:
    """Return the time of one real transform of so many points."""
    return 2.5 * points * log2(max(points, 2)) / (FFT_FLOPS[transform] * _pace(points, transform)) + TILE_CALL


def spectrum_seconds(points: int, transform: str) -> float:
    """Return the time to multiply two spectra of real tiles of so many points and add the product to a third."""
    return 3 * points * ITEMSIZE[transform] / (SPECTRUM_BYTES_PER_SECOND * _pace(points, transform))


def move_seconds(points: int, transform: str) -> float:
    """Return the time to copy so many voxels into a tile or out of it."""
    return points * ITEMSIZE[transform] / (MOVE_BYTES_PER_SECOND * _pace(points, transform))


def _pace(points: int, transform: str) -> float:
    return next(pace for least, pace in PACES if points * ITEMSIZE[transform] >= least)
