"""How far a result may lie from the exact one: what its candidate promises, or what a direct sum loses anyway."""

from __future__ import annotations

from functools import cached_property
from itertools import product

import numpy as np
from oracle import oracle, pad
from tolerances import allowed

from conv3d_cli.engine import toom, winograd

DOUBLE = 2e-13
"""What a candidate is held to in float64 where it promises no more than users may ask for."""

SPREAD = 1e-14
"""What a transform or a running sum in float64 may carry from a bright voxel to others, whatever the precision."""


class Exact:
    """The exact output of a case, and the bounds on what methods make of it."""

    def __init__(self, case) -> None:
        self.case, problem = case, case.problem
        geometry = (problem.strides, problem.padding, problem.dilation, problem.groups)
        with np.errstate(all="ignore"):
            self.want, self.magnitude = oracle(case.x, case.kernel, case.bias, *geometry, str(problem.boundary))
        self.terms = problem.taps * problem.channels // problem.groups + 1
        self.finite = np.isfinite(self.want)
        self.magnitude[~self.finite] = 0
        self.bright = np.abs(np.where(np.isfinite(case.x), case.x, 0)).astype(float)
        self.gain = np.abs(case.kernel.astype(float)).sum(axis=(0, 1, 2, 3))[:, None, None, None]
        info = np.finfo(problem.dtype)
        self.least = 8 * self.terms * float(info.smallest_subnormal)
        self.direct = allowed("direct", problem.dtype, self.magnitude, self.terms) + self.least

    @cached_property
    def turned(self) -> np.ndarray:
        """The kernel with its axes in memory order."""
        return self.case.kernel.transpose(*self.case.problem.order, 3, 4)

    @cached_property
    def anywhere(self) -> np.ndarray:
        """The largest value that is read, times the sum of a filter's absolute weights."""
        return self.bright.max(initial=abs(self.case.problem.boundary.value)) * self.gain

    @cached_property
    def windows(self) -> np.ndarray:
        """The same for the largest value in the window of each output."""
        problem = self.case.problem
        padded = pad(self.bright.max(axis=1, keepdims=True), problem.padding, str(problem.boundary))
        padded = np.abs(padded)
        most = np.zeros((problem.batch, 1, *problem.output_size))
        for tap in product(*map(range, problem.kernel)):
            axes = zip(tap, problem.dilation, problem.output_size, problem.strides, strict=True)
            seen = padded[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in axes))]
            np.maximum(most, seen, out=most)
        return most * self.gain

    def expected(self, candidate) -> float:
        """Return what tiles are expected to lose of this kernel, also where the planner did not need to know."""
        problem = self.case.problem.in_memory_order()
        if candidate.method == "toom":
            return toom.expected_error(problem, candidate.tile, self.turned)
        return winograd.expected_error(problem, candidate.tile, self.turned, 1)

    def limit(self, candidate) -> np.ndarray:
        """Return the largest error that a candidate may have at each output."""
        dtype = self.case.problem.dtype
        tiles = candidate.method in ("winograd", "toom")  # those of float64 lose digits in transforms as well
        promised = self.expected(candidate) if tiles else candidate.error
        promise = promised if dtype == "float32" else min(promised, DOUBLE)
        summed = candidate.residual is None and candidate.transform in (None, "float64") and not tiles
        scale = self.magnitude if summed else self.windows if candidate.local else self.anywhere
        if not candidate.local:
            scale = np.maximum(scale, self.magnitude)
        return np.maximum(promise * scale, self.direct) + SPREAD * self.anywhere

    def excess(self, candidate, got: np.ndarray) -> tuple[float, str]:
        """Return the largest error as a share of its bound, and what is wrong in words, if anything is.

        Where the exact result is NaN or infinite the same is expected, and nowhere else.
        """
        want, finite = self.want, self.finite
        if got.shape != want.shape or got.dtype != np.dtype(self.case.problem.dtype):
            return np.inf, f"got {got.dtype} {got.shape}, expected {self.case.problem.dtype} {want.shape}"
        if not got.size:
            return 0.0, ""
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        strays = np.where(finite, ~np.isfinite(got), ~same)
        if strays.any():
            where = tuple(int(i) for i in np.argwhere(strays)[0])
            count = np.count_nonzero(strays)
            return (
                np.inf,
                f"{count} values are not as finite as they should be: {got[where]} at {where}, not {want[where]}",
            )
        error = np.abs(np.where(finite, got, 0).astype(float) - np.where(finite, want, 0))
        limit = np.broadcast_to(self.limit(candidate), error.shape)
        share = np.divide(error, limit, out=np.where(error > 0, np.inf, 0.0), where=limit > 0)
        where = tuple(int(i) for i in np.unravel_index(int(np.argmax(share)), share.shape))
        worst = float(share[where])
        if worst <= 1:
            return worst, ""
        return worst, (
            f"{np.count_nonzero(share > 1)} of {share.size} values are off; the worst, at {where}: got {got[where]!r}, "
            f"expected {want[where]!r}, {worst:.3g} times its bound"
        )


def same_outside(view: np.ndarray, fresh: np.ndarray) -> bool:
    """Return whether the memory around a view is as that around a fresh one; both views are overwritten."""
    roots = []
    for array in (view, fresh):
        array[...] = 0
        while isinstance(array.base, np.ndarray):
            array = array.base
        roots.append(array.tobytes())
    return roots[0] == roots[1]
