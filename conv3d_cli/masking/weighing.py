"""What the pieces of a masked layer share: memory, plans, and the correlations of a mask with the layer's kernels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from conv3d_cli import engine
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.problem import Real
from conv3d_cli.frozen import replace
from conv3d_cli.masking.bits import in_blocks
from conv3d_cli.masking.regions import Piece
from conv3d_cli.masking.rules import Tap
from conv3d_cli.shapes import voxels

MOST_KEPT = 8
"""Correlations of a mask that are kept for further filters, channels and volumes of a piece."""

KNOWN = Boundary("constant", 1.0)
"""The mask around a volume whose surroundings are a known constant."""


class Bench:
    """Where a layer is computed, whose plan is that of a whole volume: arrays by name and a plan for each shape."""

    def __init__(self, plan: engine.Plan, dtype: np.dtype[Any]) -> None:
        self.plan, self.problem, self.dtype = plan, plan.problem, dtype
        boundary = self.problem.boundary
        self.beyond = KNOWN if boundary.is_constant and not boundary.is_zero else boundary
        """What a mask has around the volume: nothing beside zeros, all beside a constant, else what the data has."""
        self._rooms: dict[str, Array] = {}
        self._plans: dict[tuple[Any, ...], engine.Plan] = {}
        self._weights: Weights | None = None
        self._shared = False

    def room(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return an array in the memory of the one that had the name before."""
        size = voxels(shape)
        if name not in self._rooms or self._rooms[name].size < size:
            self._rooms.pop(name, None)
            self._rooms[name] = np.empty(size, self.dtype)
        return self._rooms[name][:size].reshape(shape)

    def weights(self, piece: Piece, chosen: Array, shared: bool) -> Weights:
        """Return the weights of a mask; with ``shared`` it is the same for further items of the piece."""
        if self._weights is None or not shared or not self._shared:
            self._weights, self._shared = Weights(self, piece, chosen), shared
        return self._weights

    def forget(self) -> None:
        """Take the next mask for another one."""
        self._weights = None

    def correlate(self, piece: Piece, x: Array, tap: Tap, out: Array, boundary: Boundary, groups: int = 1) -> None:
        """Put the correlation of ``x`` (channels, window) with a tap into ``out``, which holds (filters, outputs)."""
        kernel = tap.kernel.astype(self.dtype, copy=False)
        key = (piece.window, piece.padding, tap.key, boundary, groups)
        if key not in self._plans:
            part = replace(
                self.problem,
                size=piece.window,
                padding=piece.padding,
                batch=1,
                channels=len(x),
                filters=kernel.shape[-1],
                groups=groups,
                dtype=cast("Real", self.dtype.name),
                boundary=boundary,
            )
            self._plans[key] = engine.alike(self.plan, part, kernel)
        plan = engine.settle(self._plans[key], x[np.newaxis], kernel)
        shaped = out.reshape(1, kernel.shape[-1], *piece.size)
        engine.execute(plan, x[np.newaxis], kernel, None, shaped, settled=True)


class Weights:
    """The correlations of a mask with taps, each computed when it is first asked for.

    The mask is (C, window) of bool, for each channel of the input, or (1, window) for all of them.
    """

    def __init__(self, bench: Bench, piece: Piece, chosen: Array) -> None:
        self._bench, self._piece = bench, piece
        self.shared = len(chosen) < bench.problem.channels
        """Whether one mask stands for several channels."""
        self._mask = mask = bench.room("mask", chosen.shape)
        self._kept: dict[tuple[int, int], Array] = {}

        def fill(rows: slice) -> None:
            mask[:, rows] = chosen[:, rows]

        in_blocks(fill, mask.shape[1], mask.size // mask.shape[1])

    def of(self, tap: Tap, channels: slice) -> Array:
        """Return the correlation with a tap, over some channels of the input where each has a mask of its own.

        Of two that were asked for last both hold what they held.
        """
        channels = slice(0, 1) if self.shared else channels
        key = (tap.key, channels.start)
        if key in self._kept:
            out = self._kept.pop(key)
        else:
            full = len(self._kept) == MOST_KEPT
            out = self._oldest() if full else self._bench.room(f"weights {len(self._kept)}", self._piece.size)
            self._bench.correlate(self._piece, self._mask[channels], tap, out, self._bench.beyond)
        self._kept[key] = out  # behind all others: what was asked for last is the last to go
        return out

    def _oldest(self) -> Array:
        """Let go of what was not asked for longest, and return its array."""
        return self._kept.pop(next(iter(self._kept)))
