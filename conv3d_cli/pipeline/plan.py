"""The plan of a run: shapes, geometry, methods, memory and time of every layer, from a header alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from conv3d_cli.engine.problem import ITEMSIZE, Real
from conv3d_cli.frozen import frozen
from conv3d_cli.layers.initializers import Filtered
from conv3d_cli.layers.passing import Passing
from conv3d_cli.paths import joined
from conv3d_cli.pipeline.arrange import Arrangement
from conv3d_cli.pipeline.filtering import grid_of, kernels_in
from conv3d_cli.pipeline.planner import Options, Planner, check_memory, layer_shape
from conv3d_cli.pipeline.step import Step
from conv3d_cli.shapes import ReceptiveField, voxels
from conv3d_cli.volumes.axes import resolve_axes

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@frozen
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

    Every layer learns how the voxels of its input lie.

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
    check_memory(weights, options.limits)
    steps: list[Step] = []
    field, geometry = ReceptiveField(), header.geometry_for(axes)
    start = geometry
    planner = Planner(options, dtype, first, weights)
    for layer in network:
        layer.grid = grid_of(geometry, place.space, kernels_in(options.folder))
        step = planner.step(layer, place, field, geometry)
        steps.append(step)
        place, field, geometry = step.target, step.receptive_field, step.geometry
    masking = options.masking
    if masking is not None:
        from conv3d_cli.masking import BYTES
        from conv3d_cli.pipeline.maskable import check_keep

        check_keep(masking, steps[0].source, place)
        # From before the first layer to the end: what is inside, and of "keep" the input.
        held = BYTES[masking.by] * voxels(steps[0].source.size)
        weights += held + (masking.outside == "keep") * _bytes(steps[0].source, dtype)
    peak = weights + max(reading, *(step.working_bytes(dtype) for step in steps))
    check_memory(peak, options.limits)
    return RunPlan(tuple(steps), dtype, peak, options, start, first)


def kernel_files(layers: Iterable[Layer], folder: str) -> list[str]:
    """Return the files that the kernels of custom filters come from; their names are relative to ``folder``."""
    makers = [layer.initializers.get("kernel") for layer in layers]
    files = [maker.filter.file for maker in makers if isinstance(maker, Filtered)]
    return [joined(folder, name) for name in files if name is not None]


def computing_dtype(network: Network) -> Real:
    """Return the type that a whole network is computed in: float64 if any layer is, else float32."""
    return (
        "float64"
        if any(layer.dtype == "float64" and not isinstance(layer, Passing) for layer in network)
        else "float32"
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


def _bytes(place: Arrangement, dtype: Real) -> int:
    return voxels(place.shape) * ITEMSIZE[dtype]
