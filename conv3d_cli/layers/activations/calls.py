"""How the functions behind activations are called: in chunks that stay in cache, or as the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers.given import Function

Array: TypeAlias = NDArray[Any]

CHUNK = 1 << 15
"""Elements that an elementwise function is given at a time: few enough that its temporaries stay in cache."""


def in_chunks(compute: Callable[..., None], x: Array, out: Array, weights: list[Array], parameters: Any) -> None:
    """Write an elementwise function of x, and of weights of its shape, to ``out``, which may be x."""
    flags: Any = [["readonly"], ["writeonly"], *(["readonly"] for _ in weights)]
    chunks = np.nditer([x, out, *weights], ["external_loop", "buffered"], flags, buffersize=CHUNK)
    with chunks:
        for chunk in chunks:
            compute(*chunk, **parameters)


def called(function: Function, name: str, x: Array) -> Array:
    """Return what a function of the caller's makes of a whole array, which it must leave as it is."""
    view = x.view()
    view.flags.writeable = False
    made = np.asarray(function(view))
    if made.shape != x.shape or made.dtype.kind not in "biuf":
        raise ShapeError(
            f"activation: {name}: wrong result: got {made.dtype} of shape {made.shape}, expected real numbers of shape "
            f"{x.shape}",
            "activation",
        )
    return made.astype(x.dtype, copy=False)


def broadcast(function: str, name: str, weights: Mapping[str, Array] | None, x: Array) -> Array:
    """Return a weight as an array of x's shape and type; raises LayerError if there is none or it does not fit."""
    if not weights or name not in weights:
        raise LayerError(f"activation: {function}: needs weights: got none, expected {name}", "activation")
    try:
        return np.broadcast_to(weights[name].astype(x.dtype, copy=False), x.shape)
    except ValueError:
        raise ShapeError(
            f"activation: {function}: {name}: does not fit: got {weights[name].shape}, "
            f"expected sizes of {x.shape} or 1",
            "activation",
        ) from None
