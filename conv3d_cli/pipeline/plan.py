"""The plan of a run: shapes, geometry, methods, memory and time of every layer, from a header alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from conv3d_cli import engine
from conv3d_cli.engine.problem import ITEMSIZE, Real
from conv3d_cli.errors import OverLimit, ShapeError
from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.passing import Passing
from conv3d_cli.limits import Limits, size_words
from conv3d_cli.pipeline.arrange import Arrangement
from conv3d_cli.pipeline.step import Step
from conv3d_cli.shapes import Pads, ReceptiveField, Triple, centre_shift, voxels
from conv3d_cli.volumes.axes import resolve_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conv3d_cli.layers import Layer, Network
    from conv3d_cli.volumes import Geometry


class Header(Protocol):
    """What a plan needs to know of an input; an opened volume has it, and so has a bare ``--shape``."""

    @property
    def format(self) -> str:
        """Name of the format, a key of FORMATS."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes in the file's index order."""

    @property
    def order(self) -> str:
        """Storage order."""

    def geometry_for(self, axes: str) -> Geometry | None:
        """Return the voxel-to-world transform, if the format has one, once the axes have their letters."""

    def extra_bytes(self, dtype: np.dtype[Any]) -> int:
        """Return the memory that reading it as ``dtype`` takes beside the result."""


@dataclass(frozen=True)
class Options:
    """What a user may ask of a run beside the spec."""

    limits: Limits
    axes: str | None = None
    method: str = "auto"
    accuracy: str = "default"
    compute_dtype: Real | None = None


@dataclass(frozen=True)
class RunPlan:
    """A whole run as planned: its steps, and what they need together."""

    steps: tuple[Step, ...]
    dtype: Real
    peak_bytes: int
    options: Options
    geometry: Geometry | None
    channels_first: bool

    @property
    def source(self) -> Arrangement:
        """The input's axes and shape."""
        return self.steps[0].source

    @property
    def target(self) -> Arrangement:
        """The output's axes and shape."""
        return self.steps[-1].target

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input as the first layer sees it."""
        return layer_shape(self.source, self.channels_first)

    @property
    def output_geometry(self) -> Geometry | None:
        """Where the output's voxels lie in the world."""
        return self.steps[-1].geometry

    @property
    def seconds(self) -> float:
        """Predicted time of the convolutions."""
        return sum(step.seconds for step in self.steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before the run."""
        return tuple(
            f"layer {step.layer.name!r}: {step.layer.activation.name} acts on axis -1, which with channels_first is "
            "the last spatial axis, as in Keras"
            for step in self.steps
            if self.channels_first and step.layer.activation is not None and -1 in step.layer.activation.axes
        )


def plan_run(header: Header, network: Network, options: Options) -> RunPlan:
    """Return the plan of ``network`` over the volume that ``header`` describes; nothing is read, nothing is made.

    Raises ShapeError where a layer and its input do not fit, UsageError for bad axes, OverLimit where the weights and
    what reading or a layer takes beside them exceed ``options.limits.memory``.
    """
    first = network.data_format == "channels_first"
    axes = resolve_axes(header.format, len(header.shape), options.axes, network.data_format)
    place = Arrangement(axes, tuple(header.shape), header.order)
    dtype = options.compute_dtype or computing_dtype(network)
    shape = layer_shape(place, first)
    weights = _weight_bytes(network, shape, place, dtype)
    reading = _bytes(place, dtype) + header.extra_bytes(np.dtype(dtype))
    _check_memory(weights, options.limits)
    steps: list[Step] = []
    field, geometry = ReceptiveField(), header.geometry_for(axes)
    start = geometry
    for layer in network:
        step = _step(layer, place, first, field, geometry, dtype, options, weights)
        steps.append(step)
        place, field, geometry = step.target, step.receptive_field, step.geometry
    peak = weights + max(reading, *(step.working_bytes(dtype) for step in steps))
    _check_memory(peak, options.limits)
    return RunPlan(tuple(steps), dtype, peak, options, start, first)


def computing_dtype(network: Network) -> Real:
    """Return the type that a whole network is computed in: float64 if any layer is, else float32."""
    return (
        "float64"
        if any(layer.dtype == "float64" and not isinstance(layer, Passing) for layer in network)
        else "float32"
    )


def _check_memory(needed: int, limits: Limits, subject: str = "") -> None:
    if needed > limits.memory:
        raise OverLimit(
            f"{subject}memory: not enough for this run: got {size_words(limits.memory)} ({limits.memory_source}), "
            f"expected at least {size_words(needed)}",
            needed,
        )


def _weight_bytes(network: Network, shape: tuple[int, ...], place: Arrangement, dtype: Real) -> int:
    """Return the size of all weights, there from first layer to last, and of the largest layer's copies of its own."""
    held, copied = 0, 0
    for name, weights in network.weight_shapes(shape).items():
        layer, largest = network[name], max(voxels(weight) for weight in weights.values())
        held += sum(voxels(weight) for weight in weights.values()) * np.dtype(layer.dtype).itemsize
        copies = (layer.dtype != dtype) + (place.memory_order != (0, 1, 2))
        copied = max(copied, copies * largest * ITEMSIZE[dtype])
    return held + copied


def layer_shape(place: Arrangement, channels_first: bool) -> tuple[int, ...]:
    """Return the shape of an array as a layer sees it, in the network's data format."""
    batch = place.batch_shape or (1,)
    if channels_first:
        return (*batch, place.channels, *place.size)
    return (*batch, *place.size, place.channels)


def _step(
    layer: Layer,
    place: Arrangement,
    channels_first: bool,
    field: ReceptiveField,
    geometry: Geometry | None,
    dtype: Real,
    options: Options,
    weights: int,
) -> Step:
    shape = layer_shape(place, channels_first)
    problem = (
        replace(layer.problem(shape), dtype=dtype, order=place.memory_order) if isinstance(layer, Conv3D) else None
    )
    plan = None if problem is None else _engine_plan(layer, problem, options, weights)
    pads = layer.margins if problem is None else problem.padding
    size, channels = (
        (_widened(place.size, pads), place.channels) if problem is None else (problem.output_size, problem.filters)
    )
    result = layer.compute_output_shape(shape)
    middle = place.after(size, channels, channels_first)
    target = middle.after(*_split(result, channels_first), channels_first)
    if problem is None:
        shifts, strides = [-float(before) for before, _ in pads], (1, 1, 1)
    else:
        k, d, strides = problem.kernel, problem.dilation, problem.strides
        shifts, field = [centre_shift(k[i], d[i], pads[i][0]) for i in range(3)], field.through(k, strides, d)
    return Step(
        layer,
        place,
        middle,
        target,
        pads,
        plan,
        field,
        None if geometry is None else geometry.through(strides, shifts, order=place.space),
        sum(voxels(weight) for weight in layer.weight_shapes(shape).values()),
    )


def _engine_plan(layer: Conv3D, problem: engine.Problem, options: Options, weights: int) -> engine.Plan:
    if 0 in problem.output_size:
        raise ShapeError(
            f"layer {layer.name!r}: the output would be empty: got input {'x'.join(map(str, problem.size))}, "
            f"expected at least {'x'.join(map(str, _smallest(problem)))} for this kernel and padding"
        )
    limits = options.limits
    try:
        return engine.choose(problem, replace(limits, memory=limits.memory - weights), options.method, options.accuracy)
    except OverLimit as error:
        _check_memory(error.needed + weights, limits, f"layer {layer.name!r}: ")
        raise


def _widened(size: Triple, margins: Pads) -> Triple:
    a, b, c = (n + sum(margin) for n, margin in zip(size, margins, strict=True))
    return a, b, c


def _split(shape: Sequence[int | None], channels_first: bool) -> tuple[Triple, int]:
    """Return size and channels of a shape that is known."""
    *size, channels = shape[-4:] if not channels_first else (*shape[-3:], shape[-4])
    return cast("Triple", tuple(size)), cast("int", channels)


def _smallest(problem: engine.Problem) -> Triple:
    a, b, c = ((k - 1) * d + 1 for k, d in zip(problem.kernel, problem.dilation, strict=True))
    return a, b, c


def _bytes(place: Arrangement, dtype: Real) -> int:
    return voxels(place.shape) * ITEMSIZE[dtype]
