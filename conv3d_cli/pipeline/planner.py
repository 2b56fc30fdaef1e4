"""The plan of one layer: what it does to shapes, to space, and how the engine serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from conv3d_cli import engine
from conv3d_cli.errors import OverLimit, ShapeError
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.layers import Conv3D
from conv3d_cli.limits import Limits, size_words
from conv3d_cli.pipeline.step import Step
from conv3d_cli.shapes import Pads, ReceptiveField, Triple, centre_shift, voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conv3d_cli.engine.problem import Problem, Real
    from conv3d_cli.layers import Layer
    from conv3d_cli.masking import Masking, Needs
    from conv3d_cli.pipeline.arrange import Arrangement
    from conv3d_cli.volumes import Geometry


@frozen
class Options:
    """What a user may ask of a run beside the spec."""

    limits: Limits
    axes: str | None = None
    method: str = "auto"
    accuracy: str = "default"
    compute_dtype: Real | None = None
    folder: str = ""
    """The folder of the spec, to which the kernels of its custom filters are relative."""
    masking: Masking | None = None
    """How the run is masked, if it is."""


@frozen
class _Effect:
    """What a layer does before its activation: how it is computed, and what becomes of size, channels and space.

    Output voxel i lies at input position ``i * strides + shift``.
    """

    plan: engine.Plan | None
    pads: Pads
    size: Triple
    channels: int
    strides: Triple
    shift: list[float]
    field: ReceptiveField


@frozen
class Planner:
    """What all layers of a run have in common; ``weights`` are the bytes that the weights of all of them take."""

    options: Options
    dtype: Real
    channels_first: bool
    weights: int

    def step(self, layer: Layer, place: Arrangement, field: ReceptiveField, geometry: Geometry | None) -> Step:
        """Return the plan of a layer for an input; raises ShapeError or OverLimit if it cannot be."""
        shape = layer_shape(place, self.channels_first)
        result = layer.compute_output_shape(shape)
        does = self._convolution(layer, place, field) if isinstance(layer, Conv3D) else _borders(layer, place, field)
        middle = place.after(does.size, does.channels, self.channels_first)
        masking = self.options.masking
        return Step(
            layer=layer,
            source=place,
            middle=middle,
            target=middle.after(*_split(result, self.channels_first), self.channels_first),
            pads=does.pads,
            plan=does.plan,
            receptive_field=does.field,
            geometry=None if geometry is None else geometry.through(does.strides, does.shift, order=place.space),
            parameters=sum(voxels(weight) for weight in layer.weight_shapes(shape).values()),
            needs=None if masking is None else self._needs(layer, does, place, middle, masking),
        )

    def _needs(self, layer: Layer, does: _Effect, place: Arrangement, middle: Arrangement, masking: Masking) -> Needs:
        """Return what a layer takes inside a mask; raises ShapeError if it cannot be there."""
        from conv3d_cli.masking import Needs, needs
        from conv3d_cli.pipeline.maskable import check_activation, check_grid, turned

        check_grid(layer, does.plan, does.pads)
        check_activation(layer, layer_shape(middle, self.channels_first), self.channels_first)
        if does.plan is None or not isinstance(layer, Conv3D):
            # Flags of the voxels that have no value, before and after.
            return Needs(2 * voxels(place.shape), 1.0)
        kernel = turned(layer.taps(does.plan.problem.dtype), place) if layer.built else None
        return needs(does.plan, kernel, masking)

    def _convolution(self, layer: Conv3D, place: Arrangement, field: ReceptiveField) -> _Effect:
        asked = layer.problem(layer_shape(place, self.channels_first))
        problem = replace(asked, dtype=self.dtype, order=place.memory_order)
        if 0 in problem.output_size:
            raise ShapeError(
                f"layer {layer.name!r}: the output would be empty: got input {'x'.join(map(str, problem.size))}, "
                f"expected at least {'x'.join(map(str, _smallest(problem)))} for this kernel and padding"
            )
        k, d, pads = problem.kernel, problem.dilation, problem.padding
        return _Effect(
            self._engine_plan(layer, problem),
            pads,
            problem.output_size,
            problem.filters,
            problem.strides,
            [centre_shift(k[i], d[i], pads[i][0]) for i in range(3)],
            field.through(k, problem.strides, d),
        )

    def _engine_plan(self, layer: Conv3D, problem: Problem) -> engine.Plan:
        limits = self.options.limits
        room = replace(limits, memory=limits.memory - self.weights)
        # Of a layer that has its weights, a filter's, the plan can see the values.
        kernel = layer.taps(problem.dtype) if layer.built else None
        try:
            plan = engine.choose(problem, room, self.options.method, self.options.accuracy, kernel=kernel)
            if self.options.masking is None:
                return plan
            from conv3d_cli.masking import steady

            return steady(plan, kernel)
        except OverLimit as error:
            check_memory(error.needed + self.weights, limits, f"layer {layer.name!r}: ")
            raise


def _borders(layer: Layer, place: Arrangement, field: ReceptiveField) -> _Effect:
    """Return what a layer does that does not convolve: it may add voxels around a volume, or cut them off."""
    margins = layer.margins
    a, b, c = (n + sum(margin) for n, margin in zip(place.size, margins, strict=True))
    shift = [-float(before) for before, _ in margins]
    return _Effect(None, margins, (a, b, c), place.channels, (1, 1, 1), shift, field)


def check_memory(needed: int, limits: Limits, subject: str = "") -> None:
    """Raise OverLimit if more bytes are needed than are allowed; ``subject`` says by whom."""
    if needed > limits.memory:
        raise OverLimit(
            f"{subject}memory: not enough for this run: got {size_words(limits.memory)} ({limits.memory_source}), "
            f"expected at least {size_words(needed)}",
            needed,
        )


def layer_shape(place: Arrangement, channels_first: bool) -> tuple[int, ...]:
    """Return the shape of an array as a layer sees it, in the network's data format."""
    batch = place.batch_shape or (1,)
    if channels_first:
        return (*batch, place.channels, *place.size)
    return (*batch, *place.size, place.channels)


def _split(shape: Sequence[int | None], channels_first: bool) -> tuple[Triple, int]:
    """Return size and channels of a shape that is known."""
    *size, channels = shape[-4:] if not channels_first else (*shape[-3:], shape[-4])
    return cast("Triple", tuple(size)), cast("int", channels)


def _smallest(problem: engine.Problem) -> Triple:
    a, b, c = ((k - 1) * d + 1 for k, d in zip(problem.kernel, problem.dilation, strict=True))
    return a, b, c
