"""One layer inside a mask, piece by piece: what is outside of it takes no part, and what lacks weight has no value.

Arrays have their spatial axes in memory order. What a filter makes of missing voxels is said in ``rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod

import numpy as np

from conv3d_cli.engine import Plan
from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.masking.bits import add, in_blocks, only
from conv3d_cli.masking.regions import Cut, Piece, Region
from conv3d_cli.masking.rules import CANCELLED, ROUNDING, Magnitude, Mean, Rule, Tap, rules_of
from conv3d_cli.masking.weighing import Bench, Weights

WHOLE = -1
"""Key of the layer's kernel itself."""

ENLARGED = 4
"""How much larger a division may make rounding errors before all is computed in float64."""


@frozen
class Inside:
    """What is inside: ``labels`` (d1, d2, d3), bool for a mask, or None for all; ``regions`` holds a box of each label.

    ``absent`` tells, for each item, of the channels and voxels (C, d1, d2, d3) that have no value though they are
    inside; None where all have one.
    """

    labels: Array | None
    regions: Sequence[Region]
    absent: Sequence[Array] | None = None

    def within(self, piece: Piece) -> tuple[Array, Array]:
        """Return which voxels that a piece reads belong to its label, and which of its outputs."""
        if self.labels is None:
            return np.ones(piece.window, np.bool_), np.ones(piece.size, np.bool_)
        if self.labels.dtype == np.bool_:
            return piece.read(self.labels), self.labels[piece.outputs]
        return piece.read(self.labels) == piece.label, self.labels[piece.outputs] == piece.label


@frozen
class MaskedLayer:
    """A convolution inside a mask: ``plan`` is that of the whole volume, ``kernel`` (k1, k2, k3, C / groups, F)."""

    plan: Plan
    kernel: Array
    bias: Array | None
    min_coverage: float

    @cached_property
    def rules(self) -> list[Rule]:
        """How each filter is computed."""
        return rules_of(self.kernel, self.plan.problem.groups)

    @cached_property
    def cut(self) -> Cut:
        """How the volume is cut into pieces."""
        problem = self.plan.problem
        return Cut(problem.size, problem.padding, problem.boundary)

    def run(
        self,
        x: Sequence[Array],
        inside: Inside,
        out: Sequence[Array],
        gone: Sequence[Array],
        tick: Callable[[float], None] | None = None,
    ) -> int:
        """Put the output of every voxel inside into ``out``, for each item (F, d1, d2, d3), which is 0 all over.

        ``x`` has (C, d1, d2, d3) for each item. ``gone``, of the shape of ``out``, gets True where a voxel inside has
        too little coverage; their number is returned. Raises MethodError where a forced method cannot take the values.
        """
        bench, lost = Bench(self.plan, np.dtype(self.plan.problem.dtype)), 0
        pieces = [piece for region in inside.regions for piece in self.cut.pieces(region)]
        for done, piece in enumerate(pieces, start=1):
            chosen, wanted = inside.within(piece)
            # The box of a label may have slabs without any of it.
            if wanted.any():
                for i, item in enumerate(x):
                    absent = None if inside.absent is None else piece.read(inside.absent[i])
                    whole = absent is None or not absent.any()
                    own = chosen[np.newaxis] if whole else chosen & ~np.asarray(absent)
                    part = _Part(self, bench, piece, own, wanted, bench.weights(piece, own, shared=whole))
                    lost += part.compute(piece.read(item), out[i], gone[i])
            bench.forget()
            if tick is not None:
                tick(done / len(pieces))
        return lost


@frozen
class _Part:
    """A piece of one item: which of the voxels that it reads are inside, for each channel or for all, and its weights.

    ``wanted`` are the outputs that are inside.
    """

    layer: MaskedLayer
    bench: Bench
    piece: Piece
    own: Array
    wanted: Array
    weights: Weights

    def compute(self, x: Array, out: Array, gone: Array) -> int:
        """Put the outputs of ``x`` (C, window) into those of the whole item, and return how many have no value."""
        if not self._steady():
            return self._precise().compute(x, out, gone)
        problem, lost = self.bench.problem, 0
        window = self.bench.room("window", (len(x), *self.piece.window))
        self._take(x, window)
        results = self.bench.room("results", (problem.filters, *self.piece.size))
        kernel = Tap(WHOLE, self.layer.kernel)
        self.bench.correlate(self.piece, window, kernel, results, problem.boundary, problem.groups)
        for f, (rule, result) in enumerate(zip(self.layer.rules, results, strict=True)):
            covered = self.average(rule, result) if rule.normalised else self.fill(rule, window, result)
            to = (f, *self.piece.outputs)
            lost += self.store(result, covered, 0 if self.layer.bias is None else self.layer.bias[f], out[to], gone[to])
        return lost

    def _steady(self) -> bool:
        """Whether no division enlarges rounding errors by more than ENLARGED.

        Sums of positive weights are each as precise as they are large; weights of both signs may cancel.
        """
        if self.bench.dtype == np.float64:
            return True
        for rule in self.layer.rules:
            if rule.mixed:
                whole, size = rule.over(self.weights.shared)
                inside, weight = self.weights.of(whole, rule.reads), self.weights.of(size.tap, rule.reads)
                share = np.abs(inside) < weight / ENLARGED
                if (share & self.wanted & (np.abs(inside) >= CANCELLED * weight)).any():
                    return False
        return True

    def _precise(self) -> _Part:
        bench = Bench(self.bench.plan, np.dtype("float64"))
        return replace(self, bench=bench, weights=bench.weights(self.piece, self.own, shared=False))

    def average(self, rule: Rule, result: Array) -> Array:
        """Divide the result of a filter by its weight inside; return where that is enough."""
        whole, size = rule.over(self.weights.shared)
        inside, weight = self.weights.of(whole, rule.reads), self.weights.of(size.tap, rule.reads)
        covered, least = np.empty(result.shape, np.bool_), self._least(size)

        def work(rows: slice) -> None:
            np.greater_equal(size.sign * weight[rows], least, out=covered[rows])
            if size.tap is not whole:
                covered[rows] &= np.abs(inside[rows]) >= CANCELLED * weight[rows]
            result[rows] /= inside[rows]

        self._in_blocks(work)
        return covered

    def fill(self, rule: Rule, window: Array, result: Array) -> Array:
        """Add to the result of a filter what its missing voxels are worth; return where enough is known for that."""
        covered = np.ones(result.shape, np.bool_)
        for mean in rule.means:
            self._fill(mean, window, result, covered)
        return covered

    def _fill(self, mean: Mean, window: Array, result: Array, covered: Array) -> None:
        """Add what the missing voxels of one channel are worth, and clear ``covered`` where too little is known."""
        channel, size = slice(mean.channel, mean.channel + 1), mean.magnitude
        values, least = self.bench.room("values", result.shape), self._least(size)
        self.bench.correlate(self.piece, window[channel], size.tap, values, self.bench.problem.boundary)
        inside, weight = self.weights.of(mean.tap, channel), self.weights.of(size.tap, channel)

        def work(rows: slice) -> None:
            covered[rows] &= size.sign * weight[rows] >= least
            values[rows] /= weight[rows]
            values[rows] *= mean.sum - inside[rows]
            result[rows] += values[rows]

        self._in_blocks(work)

    def store(self, result: Array, covered: Array, bias: float, out: Array, gone: Array) -> int:
        """Put the result of the wanted outputs that are covered into ``out``; mark and count the others of them."""
        lost: list[int] = []

        def work(rows: slice) -> None:
            wanted = self.wanted[rows]
            has = covered[rows] & wanted
            missing = int(np.count_nonzero(wanted)) - int(np.count_nonzero(has))
            if missing:
                gone[rows] |= wanted & ~has
                lost.append(missing)
            values = result[rows]
            if bias:
                values += bias
            add(values.astype(out.dtype, copy=False), has, out[rows])

        self._in_blocks(work)
        return sum(lost)

    def _least(self, size: Magnitude) -> float:
        return self.layer.min_coverage * (1 - ROUNDING) * size.total

    def _in_blocks(self, work: Callable[[slice], None]) -> None:
        rows, *plane = self.piece.size
        in_blocks(work, rows, prod(plane))

    def _take(self, x: Array, window: Array) -> None:
        """Put the voxels of ``x`` that are inside into ``window``, and zeros elsewhere."""

        def work(rows: slice) -> None:
            for c, to in enumerate(window[:, rows]):
                values = x[c, rows]
                if values.dtype != to.dtype:
                    to[...] = values
                    values = to
                only(values, self.own[c if len(self.own) > 1 else 0, rows], to)

        in_blocks(work, window.shape[1], window.size // window.shape[1])
