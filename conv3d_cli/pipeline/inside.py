"""A run inside a mask, layer after layer: which voxels are inside, which of them have no value, what the others get."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from conv3d_cli import engine
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.problem import Real, sort
from conv3d_cli.frozen import frozen, mutable, replace
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.magnitude import Length
from conv3d_cli.masking import Inside, MaskedLayer, Masking, add, in_blocks, only, regions_of, steady
from conv3d_cli.pipeline.maskable import turned

if TYPE_CHECKING:
    from conv3d_cli.pipeline.arrange import Arrangement
    from conv3d_cli.pipeline.plan import RunPlan
    from conv3d_cli.pipeline.step import Step

UNIT = 1e-3
"""How far from 1 the sum of a filter may be that averages without a mask as well."""


@frozen
class Labels:
    """What is inside, with the axes of space of the input in the file's order: an array of bool, the label 1 alone.

    Or whole numbers, 0 outside and otherwise from 1 to ``count``, one for each label.
    """

    array: Array
    count: int = 1


@frozen
class LayerCounts:
    """How many filters of a layer follow which rule, and how many voxels inside, of all channels, got no value."""

    normalised: int
    filled: int
    uncovered: int
    dtype: str


@mutable
class Counts:
    """Voxels inside, and labels; of the input, NaN inside that are missing, and values inside that are not finite.

    ``filled`` of the missing got a value, ``uncovered`` voxels inside have none in the output, of all channels.
    """

    inside: int
    labels: int | None = None
    missing: int = 0
    filled: int = 0
    uncovered: int = 0
    nonfinite: int = 0


class MaskedRun:
    """What a masked run knows from layer to layer."""

    def __init__(self, plan: RunPlan, masking: Masking, labels: Labels | None) -> None:
        place, self.masking = plan.source, masking
        a, b, c = sort(place.size, place.memory_order)
        self.labels = None if labels is None else labels.array.transpose(place.memory_order)
        self.regions = regions_of(self.labels, (a, b, c), 1 if labels is None else labels.count)
        inside = a * b * c if labels is None else int(np.count_nonzero(labels.array))
        self.counts = Counts(inside, labels.count if labels and masking.by == "labels" else None)
        self._original: Array | None = None
        self._absent: Array | None = None
        self._missing: Array | None = None
        self._clean = False
        self.warnings: list[str] = []

    def begin(self, step: Step, array: Array, nonfinite: int) -> Array:
        """Look at the input, of which so many voxels are not finite; return what the first layer is to be given."""
        place = step.source
        if self.masking.outside == "keep":
            self._original = array
            # An activation alone would be applied in place.
            array = array if step.copies else array.copy(order="K")
        if nonfinite:
            inside = self._inside(place)
            if self.masking.missing:
                self._absent = np.isnan(array)
                self._missing = _any_channel(place, self._absent & inside)
                self.counts.missing = int(np.count_nonzero(self._missing))
                self.counts.nonfinite = int(np.count_nonzero(np.isinf(array) & inside))
            else:
                self.counts.nonfinite = int(np.count_nonzero(~np.isfinite(array) & inside))
        return array

    def convolve(
        self, step: Step, planned: engine.Plan, array: Array, tick: Callable[[float], None] | None
    ) -> tuple[Array, engine.Plan, LayerCounts]:
        """Return the layer's output before its activation, the plan that its kernel allowed, and what it counted."""
        layer, source, middle = step.layer, step.source, step.middle
        assert isinstance(layer, Conv3D)
        plan = planned
        if planned.undecided:
            asked = replace(planned.asked, dtype=cast("Real", array.dtype.name))
            kernel = layer.taps(asked.dtype)
            plan = engine.choose(asked, planned.limits, planned.method_asked, planned.accuracy, kernel=kernel)
            plan = steady(plan, kernel)
        kernel = turned(layer.taps(plan.problem.dtype), source)
        bias = layer.variables.get("bias")
        masked = MaskedLayer(plan, kernel, bias, self.masking.min_coverage)
        out = middle.empty(array.dtype)
        out.fill(0)
        gone = np.zeros(middle.shape, np.bool_, order="F" if middle.storage == "F" else "C")
        absent = None if self._absent is None else items(source, self._absent)
        inside = Inside(self.labels, self.regions, absent)
        lost = masked.run(items(source, array), inside, items(middle, out), items(middle, gone), tick)
        self._absent, self._clean = gone if lost else None, True
        normalised = sum(rule.normalised for rule in masked.rules)
        self.warnings += _averages(layer.name, [rule.sum for rule in masked.rules if rule.normalised])
        filled = len(masked.rules) - normalised
        return out, plan, LayerCounts(normalised, filled, lost, plan.problem.dtype)

    def activated(self, step: Step) -> None:
        """Follow what the layer's activation does: what it mixes of channels has a value where all of them have."""
        activation = step.layer.activation
        if step.idle or activation is None:
            return
        self._clean = False
        if self._absent is None or not activation.axes:
            return
        target = np.zeros(step.target.shape, np.bool_, order="F" if step.target.storage == "F" else "C")
        absent, to = step.middle.planar(self._absent), step.target.planar(target)
        parts = activation.parts if isinstance(activation, Length) else absent.shape[-4]
        grouped = absent.reshape(*absent.shape[:-4], -1, parts, *absent.shape[-3:])
        to[...] = grouped.any(axis=-4)
        self._absent = target

    def finish(self, place: Arrangement, array: Array) -> None:
        """Give the voxels outside, and those without a value, what they are to get."""
        if self._absent is not None:
            self.counts.uncovered = int(np.count_nonzero(self._absent))
        if self._missing is not None:
            found = self._missing if self._absent is None else self._missing & ~_any_channel(place, self._absent)
            self.counts.filled = int(np.count_nonzero(found))
        if self.masking.outside == "zero" and self._clean:
            return
        absent = None if self._absent is None else items(place, self._absent)
        original = None if self._original is None else items(place, self._original)
        for i, item in enumerate(items(place, array)):
            for c, values in enumerate(item):
                lost = None if absent is None else absent[i][c]
                self._fill(values, lost, None if original is None else original[i][c])

    def _fill(self, values: Array, absent: Array | None, original: Array | None) -> None:
        """Fill one volume."""
        rows, *plane = values.shape
        if self.labels is None and absent is None:
            return

        def work(part: slice) -> None:
            inside = np.ones((1,), np.bool_) if self.labels is None else self.labels[part] != 0
            if absent is not None:
                inside = inside & ~absent[part]
            only(values[part], inside, values[part])
            if original is not None:
                add(original[part].copy(), ~inside, values[part])
            elif self.masking.outside == "nan":
                add(np.full(inside.shape, np.nan, values.dtype), ~inside, values[part])

        in_blocks(work, rows, int(np.prod(plane)))

    def _inside(self, place: Arrangement) -> Array:
        """Return what is inside, such that it fits an array of a file's axes."""
        if self.labels is None:
            return np.ones((1,) * len(place.axes), np.bool_)
        order = [place.memory_order.index(axis) for axis in range(3)]
        sizes = dict(zip(place.space, place.size, strict=True))
        shape = [sizes.get(axis, 1) for axis in place.axes]
        inside: Array = self.labels.transpose(order) != 0
        return inside.reshape(shape)


def items(place: Arrangement, array: Array) -> list[Array]:
    """Return a view (C, d1, d2, d3) of each volume of an array in the file's order, with space in memory order."""
    planar = place.planar(array)
    first = planar.ndim - 3
    ordered = planar.transpose(*range(first), *(first + axis for axis in place.memory_order))
    return [ordered[index] for index in np.ndindex(ordered.shape[:-4])]


def _any_channel(place: Arrangement, flags: Array) -> Array:
    """Return flags of voxels: whether one of their channels has it."""
    return np.asarray(flags.any(axis=place.axes.index("c"))) if "c" in place.axes else flags


def _averages(name: str, sums: list[float]) -> list[str]:
    """Return what a person should know of filters whose weights do not sum to 1."""
    if all(abs(total - 1) < UNIT for total in sums):
        return []
    told = " to ".join(f"{total:.4g}" for total in sorted({min(sums), max(sums)}))
    return [f"layer {name!r}: inside a mask it averages: its results are divided by the sum of its weights, {told}"]
