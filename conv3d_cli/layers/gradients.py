"""The gradients of a convolution layer with respect to its input and its weights."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv3d_cli.engine import Limits, Problem, convolve_array
from conv3d_cli.engine.adjoint import input_gradient, kernel_gradient
from conv3d_cli.errors import ShapeError
from conv3d_cli.frozen import replace
from conv3d_cli.kinds import cast_to, real_array
from conv3d_cli.layers.activations import pieces
from conv3d_cli.layers.activations.derivatives import function_of, vjp
from conv3d_cli.layers.conv3d import Conv3D, turned

Array: TypeAlias = NDArray[Any]


class Gradients(NamedTuple):
    """The gradients of one scalar, each of the shape of what it belongs to; None for a weight that there is not."""

    input: Array
    kernel: Array
    bias: Array | None
    alpha: Array | None = None


def gradients(layer: Conv3D, x: ArrayLike, upstream: ArrayLike) -> Gradients:
    """Return the gradients of ``sum(upstream * layer(x))`` with respect to input, kernel, bias and PReLU's alpha.

    ``x`` is an input of the layer, ``upstream`` has the shape of its output; neither is modified. The results are new,
    C-contiguous and of the layer's dtype. A layer without weights is built first, with seed 0. Beside the arguments
    and the results it takes what the convolutions take, and with an activation three more arrays of the output's size.
    Raises LayerError for an activation that is a Python function, ShapeError where the layer cannot take such an input
    or upstream has another shape, OverLimit where memory does not suffice.

    >>> from conv3d_cli.layers import Conv3D
    >>> layer = Conv3D(1, 2, kernel_initializer="ones")
    >>> found = gradients(layer, np.ones((1, 3, 3, 3, 1)), np.ones((1, 2, 2, 2, 1)))
    >>> found.input[0, :, 1, 1, 0].tolist(), found.kernel.shape, found.bias.tolist()
    ([4.0, 8.0, 4.0], (2, 2, 2, 1, 1), [8.0])
    """
    inputs = real_array(x, f"layer {layer.name!r}: input")
    given = real_array(upstream, f"layer {layer.name!r}: upstream gradient")
    problem = layer.problem(inputs.shape)
    expected = layer.compute_output_shape(inputs.shape)
    if given.shape != expected:
        raise ShapeError(
            f"layer {layer.name!r}: wrong shape of the upstream gradient: got {given.shape}, expected {expected}"
        )
    if not layer.built:
        layer.build(inputs.shape)
    problem = replace(problem, dtype="float64" if layer.dtype == "float64" else "float32")
    inputs, given = (cast_to(cast_to(array, layer.dtype), problem.dtype) for array in (inputs, given))
    kernel = layer.taps(problem.dtype)
    bias = None if layer.bias is None else np.asarray(layer.bias, problem.dtype)
    limits = Limits.detect()
    given, alpha = _through_activation(layer, problem, inputs, kernel, bias, given, limits)
    planar = (0, 4, 1, 2, 3) if layer.channels_last else (0, 1, 2, 3, 4)
    merged = inputs.reshape(problem.batch, *inputs.shape[-4:])
    sums = given.reshape(problem.batch, *given.shape[-4:]).transpose(planar)
    result = np.empty(merged.shape, problem.dtype)
    input_gradient(problem, sums, kernel, result.transpose(planar), limits)
    by_kernel = kernel_gradient(problem, merged.transpose(planar), sums, limits)
    by_bias = None if bias is None else sums.sum(axis=(0, 2, 3, 4), dtype=np.float64)
    dtype = layer.dtype
    return Gradients(
        cast_to(result.reshape(inputs.shape), dtype),
        cast_to(turned(by_kernel) if layer.flip else by_kernel, dtype),
        None if by_bias is None else cast_to(by_bias, dtype),
        None if alpha is None else cast_to(alpha, dtype),
    )


def _through_activation(
    layer: Conv3D,
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    upstream: Array,
    limits: Limits,
) -> tuple[Array, Array | None]:
    """Return the gradient before the activation, and that of PReLU's alpha."""
    if function_of(layer.activation)[0] is pieces.linear:
        return upstream, None
    z = convolve_array(problem, x, kernel, bias, channels_last=layer.channels_last, limits=limits)
    return vjp(layer.activation, z, upstream, getattr(layer, "variables", None))
