"""The one table of tolerances: how far a method's output may lie from the exact one, and why.

Two kinds of bound. ``local`` holds at each voxel by itself: the error of a sum of n products is at most about
n*eps times the sum of the absolute products (the magnitude that ``oracle`` returns), and for errors of random
sign about sqrt(n)*eps times it; so a dim voxel has a small tolerance, however bright another one is.
``block`` holds relative to the largest magnitude among the voxels that share a transform, because a Fourier
transform spreads rounding errors evenly over its whole block; they grow with the logarithm of its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """``factor`` times eps times a growth times the magnitude; ``reason`` says where the factor is from.

    The growth is 2 + sqrt(terms) for ``local``, log2(voxels of a transform) for ``block``.
    """

    kind: str
    factor: float
    reason: str


TOLERANCES = {
    ("direct", "float32"): Tolerance(
        "local",
        2.0,
        "products summed one after the other; worst seen 0.5, for values of one sign",
    ),
    ("direct", "float64"): Tolerance(
        "local", 4.0, "as in float32, but the oracle's own rounding is of the same size and comes on top"
    ),
    ("pointwise", "float32"): Tolerance("local", 2.0, "as direct: products summed one after the other"),
    ("pointwise", "float64"): Tolerance("local", 4.0, "as direct"),
    ("separable", "float32"): Tolerance(
        "local", 3.0, "one product: sums axis by axis, and the rounding of three vectors; worst seen 0.4"
    ),
    ("separable", "float64"): Tolerance("local", 6.0, "as in float32; the oracle's own rounding comes on top"),
    ("reference", "float32"): Tolerance(
        "local", 0.5, "summed in float64, so only the rounding of the result and of the bias's sum is left"
    ),
    ("reference", "float64"): Tolerance("local", 4.0, "as direct: float64 sums in another order than the oracle's"),
    ("winograd", "float32"): Tolerance(
        "block",
        8.0,
        "tiles of up to 8 points an axis, whose transforms cancel; worst seen 2, at 8^3 points",
    ),
    ("winograd", "float64"): Tolerance("block", 8.0, "as in float32"),
    ("toom", "float32"): Tolerance(
        "block", 8.0, "tiles of up to 8 points along one axis, as winograd's along three; worst seen 0.7"
    ),
    ("toom", "float64"): Tolerance("block", 8.0, "as in float32"),
    ("fft", "float32"): Tolerance(
        "block",
        2.0,
        "transforms of whole blocks; worst seen 0.4, for values of one sign",
    ),
    ("fft", "float64"): Tolerance(
        "block",
        8.0,
        "the oracle's sum over taps, not the transform, has the larger error: worst seen 1.3 at 11^3 taps",
    ),
}


def allowed(method, dtype, magnitude, terms, voxels=None):
    """Return the largest error allowed at each voxel.

    ``magnitude`` and the result have the shape of the output, ``terms`` is the number of products in one
    output (taps times channels per group), ``voxels`` the size of one transform (only for a ``block``
    tolerance; by default the size of the output).
    """
    row = TOLERANCES[method, str(np.dtype(dtype))]
    eps = float(np.finfo(dtype).eps)
    magnitude = np.asarray(magnitude, dtype=np.float64)
    if row.kind == "local":
        return row.factor * eps * (2 + np.sqrt(terms)) * magnitude
    finite = magnitude[np.isfinite(magnitude)]
    growth = np.log2(max(voxels or magnitude.size, 2))
    return np.full(magnitude.shape, row.factor * eps * growth * finite.max(initial=0.0))


def assert_close(method, dtype, got, want, magnitude, terms, voxels=None):
    """Fail unless ``got`` has the dtype and the shape of the exact ``want`` and lies within the tolerance.

    Where ``want`` is NaN or infinite, ``got`` must be the same; nowhere else may it be.
    """
    got, want = np.asarray(got), np.asarray(want, dtype=np.float64)
    assert got.dtype == np.dtype(dtype), f"dtype: got {got.dtype}, expected {np.dtype(dtype)}"
    assert got.shape == want.shape, f"shape: got {got.shape}, expected {want.shape}"
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite].astype(dtype), err_msg="non-finite values")
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    limit = np.broadcast_to(allowed(method, dtype, magnitude, terms, voxels), want.shape)[finite]
    bad = ~(error <= limit)
    if bad.any():
        worst = int(
            np.nanargmax(np.where(bad, np.where(np.isnan(error), np.inf, error / np.maximum(limit, 1e-300)), -1))
        )
        where = tuple(int(i[worst]) for i in np.nonzero(finite))
        raise AssertionError(
            f"{method} {np.dtype(dtype)}: {int(bad.sum())} of {bad.size} voxels beyond the tolerance; "
            f"worst at {where}: got {got[where]!r}, expected {want[where]!r}, "
            f"error {error[worst]:.3g}, allowed {limit[worst]:.3g}"
        )


def worst_ratio(method, dtype, got, want, magnitude, terms, voxels=None):
    """Return the largest error as a share of the one allowed; 0.25 is the margin that the table aims at."""
    finite = np.isfinite(want)
    limit = np.broadcast_to(allowed(method, dtype, magnitude, terms, voxels), np.shape(want))[finite]
    error = np.abs(np.asarray(got, dtype=np.float64)[finite] - np.asarray(want)[finite])
    return float(np.max(error[limit > 0] / limit[limit > 0], initial=0.0))
