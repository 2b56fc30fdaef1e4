"""Which layers a mask can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conv3d_cli.errors import ShapeError, UsageError
from conv3d_cli.shapes import Pads, effective

if TYPE_CHECKING:
    from conv3d_cli import engine
    from conv3d_cli.engine.blocks import Array
    from conv3d_cli.engine.problem import Problem
    from conv3d_cli.layers import Layer
    from conv3d_cli.masking import Masking
    from conv3d_cli.pipeline.arrange import Arrangement


def check_grid(layer: Layer, plan: engine.Plan | None, pads: Pads) -> None:
    """Raise ShapeError for a layer whose output does not lie on the grid of its input."""
    got = None
    if plan is None:
        if any(any(pair) for pair in pads):
            got = f"padding {pads}"
    elif plan.asked.strides != (1, 1, 1):
        got = f"strides {plan.asked.strides}"
    elif not _centred(plan.asked):
        got = f"padding {plan.asked.padding}"
    if got is not None:
        raise ShapeError(
            f"layer {layer.name!r}: changes the grid, which a mask does not follow: got {got}, "
            "expected strides 1 and padding same"
        )


def check_activation(layer: Layer, shape: tuple[int, ...], channels_first: bool) -> None:
    """Raise ShapeError for a layer whose activation mixes voxels: it would mix those outside with those inside."""
    if layer.activation is None:
        return
    channel = len(shape) - (4 if channels_first else 1)
    if set(layer.activation.mixed(len(shape))) - {channel}:
        raise ShapeError(
            f"layer {layer.name!r}: {layer.activation.name} mixes voxels inside and outside of a mask: "
            "got an axis that is not the channels', expected an activation of each voxel by itself"
        )


def check_keep(masking: Masking, source: Arrangement, target: Arrangement) -> None:
    """Raise UsageError where voxels outside cannot be those of the input."""
    if masking.outside == "keep" and (source.axes, source.shape) != (target.axes, target.shape):
        raise UsageError(
            f"--outside: 'keep' needs an output channel for each of the input: got {target.channels} for "
            f"{source.channels}, expected as many; or zero or nan"
        )


def turned(kernel: Array, place: Arrangement) -> Array:
    """Return a kernel in Keras's layout with its axes of space in memory order."""
    return np.ascontiguousarray(kernel.transpose(*place.memory_order, 3, 4))


def _centred(problem: Problem) -> bool:
    """Whether each output lies in the middle of what it reads, as far as there is one, and there are as many."""
    spans = zip(problem.kernel, problem.dilation, problem.padding, strict=True)
    return all(before + after == effective(k, d) - 1 and 0 <= after - before <= 1 for k, d, (before, after) in spans)
