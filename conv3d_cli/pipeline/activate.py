"""Activations over whole volumes, in blocks that stay in cache, shared by threads."""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.pipeline.arrange import Arrangement
from conv3d_cli.pipeline.step import Step

BLOCK_VOXELS = 1 << 18


def activated(step: Step, array: Array, channels_first: bool, threads: int) -> Array:
    """Return the array, in the file's order, with the layer's activation applied: in place, unless it changes shape."""
    activation = step.layer.activation
    if step.idle or activation is None:
        return array
    result = array if step.middle == step.target else step.target.empty(array.dtype)
    x, out = (_as_layer(place, a, channels_first) for place, a in ((step.middle, array), (step.target, result)))
    weights = {
        name: np.broadcast_to(step.layer.variables[name].astype(x.dtype, copy=False), x.shape)
        for name in activation.initializers
    }
    axis, pieces = _pieces(step, x, channels_first)

    def work() -> None:
        for piece in pieces:
            part = (slice(None),) * axis + (piece,)
            activation(x[part], out=out[part], weights={name: weight[part] for name, weight in weights.items()})

    share(work, threads, stop=pieces.close)
    return result


def _as_layer(place: Arrangement, array: Array, channels_first: bool) -> Array:
    """Return a view of an array as the layer sees it: batch axes, then its data format."""
    planar = place.planar(array)
    planar = planar if planar.ndim > 4 else planar[np.newaxis]
    return planar if channels_first else np.moveaxis(planar, -4, -1)


def _pieces(step: Step, x: Array, channels_first: bool) -> tuple[int, Pieces[slice]]:
    """Return the slowest spatial axis along which nothing is mixed, and slices of it; else the whole."""
    mixed = () if step.layer.activation is None else step.layer.activation.mixed(x.ndim)
    space = [x.ndim - (3 if channels_first else 4) + dimension for dimension in step.middle.memory_order]
    axis = next((a for a in space if a not in mixed), None)
    if axis is None:  # a function that mixes all spatial axes takes them whole
        return 0, Pieces([slice(None)])
    rows = x.shape[axis]
    length = max(1, BLOCK_VOXELS * rows // max(x.size, 1))
    return axis, Pieces([slice(start, start + length) for start in range(0, rows, length)])
