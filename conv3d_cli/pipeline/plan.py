"""The plan of a run: shapes, geometry, methods, memory and time of every layer, from a header alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from conv3d_cli import engine
from conv3d_cli.engine.problem import ITEMSIZE, Real
from conv3d_cli.errors import OverLimit, ShapeError
from conv3d_cli.limits import Limits, size_words
from conv3d_cli.pipeline.arrange import Arrangement
from conv3d_cli.shapes import Pads, ReceptiveField, Triple, centre_shift, voxels
from conv3d_cli.volumes.axes import resolve_axes

if TYPE_CHECKING:
    from conv3d_cli.layers import Conv3D, Network
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
class Step:
    """One layer of a run as planned; shapes are in the order of the file's axes."""

    layer: Conv3D
    source: Arrangement
    target: Arrangement
    pads: Pads
    plan: engine.Plan
    receptive_field: ReceptiveField
    geometry: Geometry | None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return voxels(self.plan.asked.kernel_shape) + self.layer.filters * self.layer.use_bias


@dataclass(frozen=True)
class RunPlan:
    """A whole run as planned: its steps, and what they need together."""

    steps: tuple[Step, ...]
    dtype: Real
    peak_bytes: int
    options: Options
    geometry: Geometry | None

    @property
    def source(self) -> Arrangement:
        """The input's axes and shape."""
        return self.steps[0].source

    @property
    def target(self) -> Arrangement:
        """The output's axes and shape."""
        return self.steps[-1].target

    @property
    def output_geometry(self) -> Geometry | None:
        """Where the output's voxels lie in the world."""
        return self.steps[-1].geometry

    @property
    def seconds(self) -> float:
        """Predicted time of the convolutions."""
        return sum(step.plan.seconds for step in self.steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before the run."""
        return tuple(
            f"layer {step.layer.name!r}: {step.layer.activation.name} acts on axis -1, which with channels_first is "
            "the last spatial axis, as in Keras"
            for step in self.steps
            if step.layer.data_format == "channels_first" and step.layer.activation.axis == -1
        )


def plan_run(header: Header, network: Network, options: Options) -> RunPlan:
    """Return the plan of ``network`` over the volume that ``header`` describes; nothing is read, nothing is made.

    Raises ShapeError where a layer and its input do not fit, UsageError for bad axes, OverLimit where the weights and
    what reading or a layer takes beside them exceed ``options.limits.memory``.
    """
    layers = list(network)
    axes = resolve_axes(header.format, len(header.shape), options.axes, layers[0].data_format)
    place = Arrangement(axes, tuple(header.shape), header.order)
    dtype = options.compute_dtype or ("float64" if any(layer.dtype == "float64" for layer in layers) else "float32")
    weights = _weight_bytes(layers, place, dtype)
    reading = _bytes(place, dtype) + header.extra_bytes(np.dtype(dtype))
    _check_memory(weights, options.limits)
    steps: list[Step] = []
    field, first = ReceptiveField(), header.geometry_for(axes)
    geometry = first
    for layer in layers:
        step = _step(layer, place, field, geometry, dtype, options, weights)
        steps.append(step)
        place, field, geometry = step.target, step.receptive_field, step.geometry
    working = (_bytes(s.source, dtype) + _bytes(s.target, dtype) + s.plan.scratch_bytes for s in steps)
    peak = weights + max(reading, *working)
    _check_memory(peak, options.limits)
    return RunPlan(tuple(steps), dtype, peak, options, first)


def _check_memory(needed: int, limits: Limits, subject: str = "") -> None:
    if needed > limits.memory:
        raise OverLimit(
            f"{subject}memory: not enough for this run: got {size_words(limits.memory)} ({limits.memory_source}), "
            f"expected at least {size_words(needed)}",
            needed,
        )


def _weight_bytes(layers: list[Conv3D], place: Arrangement, dtype: Real) -> int:
    """Return the size of all weights, there from first layer to last, and of the largest layer's copies of its own."""
    held, copied, channels = 0, 0, place.channels
    for layer in layers:
        kernel = voxels(layer.kernel_shape(channels))
        held += (kernel + layer.filters * layer.use_bias) * np.dtype(layer.dtype).itemsize
        copies = (layer.dtype != dtype) + (place.memory_order != (0, 1, 2))
        copied = max(copied, copies * kernel * ITEMSIZE[dtype])
        channels = layer.filters
    return held + copied


def layer_shape(layer: Conv3D, place: Arrangement) -> tuple[int, ...]:
    """Return the shape of an array as the layer sees it, in the layer's data format."""
    batch = place.batch_shape or (1,)
    if layer.data_format == "channels_first":
        return (*batch, place.channels, *place.size)
    return (*batch, *place.size, place.channels)


def _step(
    layer: Conv3D,
    place: Arrangement,
    field: ReceptiveField,
    geometry: Geometry | None,
    dtype: Real,
    options: Options,
    weights: int,
) -> Step:
    shape = layer_shape(layer, place)
    problem = replace(layer.problem(shape), dtype=dtype, order=place.memory_order)
    layer.activation.check_rank(len(shape))
    if 0 in problem.output_size:
        raise ShapeError(
            f"layer {layer.name!r}: the output would be empty: got input {'x'.join(map(str, problem.size))}, "
            f"expected at least {'x'.join(map(str, _smallest(layer)))} for this kernel and padding"
        )
    limits = options.limits
    try:
        plan = engine.choose(problem, replace(limits, memory=limits.memory - weights), options.method, options.accuracy)
    except OverLimit as error:
        _check_memory(error.needed + weights, limits, f"layer {layer.name!r}: ")
        raise
    target = place.after(problem.output_size, problem.filters, layer.data_format == "channels_first")
    k, d, pads = problem.kernel, problem.dilation, problem.padding
    shifts = [centre_shift(k[i], d[i], pads[i][0]) for i in range(3)]
    return Step(
        layer,
        place,
        target,
        pads,
        plan,
        field.through(k, problem.strides, d),
        None if geometry is None else geometry.through(problem.strides, shifts, order=place.space),
    )


def _smallest(layer: Conv3D) -> Triple:
    a, b, c = ((k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True))
    return a, b, c


def _bytes(place: Arrangement, dtype: Real) -> int:
    return voxels(place.shape) * ITEMSIZE[dtype]
