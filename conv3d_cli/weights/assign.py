"""Weights into a network: names and shapes are compared from the headers, and only then are values read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import WeightsError, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from conv3d_cli.layers import Conv3D, Network
    from conv3d_cli.weights.mapping import Header, Weights

Shape = tuple[int, ...]


def expected_shapes(network: Network, channels: int) -> dict[str, dict[str, Shape]]:
    """Return the shape of every weight by layer and name, for an input of so many channels.

    >>> from conv3d_cli.layers import Conv3D, Network
    >>> layers = [Conv3D(8, 3, name="edges"), Conv3D(2, 1, name="mix", use_bias=False)]
    >>> expected_shapes(Network(layers), channels=1)
    {'edges': {'kernel': (3, 3, 3, 1, 8), 'bias': (8,)}, 'mix': {'kernel': (1, 1, 1, 8, 2)}}
    """
    shapes: dict[str, dict[str, Shape]] = {}
    for layer in network:
        shapes[layer.name] = {"kernel": tuple(layer.kernel_shape(channels))}
        if layer.use_bias:
            shapes[layer.name]["bias"] = (layer.filters,)
        channels = layer.filters
    return shapes


def assign(network: Network, weights: Weights, channels: int) -> list[str]:
    """Give every layer its kernel and bias, cast to the layer's dtype; returns notes for the report.

    A network of one layer takes ``kernel`` and ``bias`` as well as ``<layer>/kernel`` and ``<layer>/bias``;
    kernels are in Keras's layout ``(kd, kh, kw, channels / groups, filters)``. A note says what was cast, and
    where values are not finite. Raises WeightsError, which tells everything that is missing, left over or of
    the wrong shape, before a value is read; ShapeError if the network cannot take so many channels.
    """
    names = check(network, weights, channels)
    notes: list[str] = []
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for layer in network:
        dtype = np.dtype(layer.dtype)
        arrays[layer.name] = {w: _cast(weights, name, dtype, notes) for w, name in names[layer.name].items()}
    # Only now, so that a network is not left half assigned by a value that cannot be read.
    for layer in network:
        layer.kernel, layer.bias = arrays[layer.name]["kernel"], arrays[layer.name].get("bias")
    return notes


def check(network: Network, weights: Weights, channels: int) -> dict[str, dict[str, str]]:
    """Return the file's name of every weight, by layer; WeightsError as in `assign`, reading nothing."""
    shapes = expected_shapes(network, channels)
    bare = len(shapes) == 1 and not any("/" in name for name in weights.headers)
    names = {
        layer: {weight: weight if bare else f"{layer}/{weight}" for weight in wanted}
        for layer, wanted in shapes.items()
    }
    by_name = {names[layer][weight]: (layer, shape) for layer, ws in shapes.items() for weight, shape in ws.items()}
    problems = [*_misfits(by_name, weights.headers, network), *_left_over(by_name, weights.headers)]
    if problems:
        raise WeightsError("\n".join(f"{quoted(weights.path)}: {problem}" for problem in problems))
    return names


def _misfits(by_name: dict[str, tuple[str, Shape]], headers: dict[str, Header], network: Network) -> Iterator[str]:
    layers: dict[str, Conv3D] = {layer.name: layer for layer in network}
    for name, (layer, expected) in by_name.items():
        if name not in headers:
            yield f"layer {quoted(layer)}: {name} is missing: expected shape {expected}"
        elif (got := headers[name].shape) != expected:
            yield f"layer {quoted(layer)}: {name} has the wrong shape: got {got}, expected {expected}" + _why(
                got, expected, layers[layer]
            )


def _why(got: Shape, expected: Shape, layer: Conv3D) -> str:
    """Return what a wrong shape suggests, or nothing."""
    if len(expected) != 5 or len(got) != 5:
        return ""
    if got == (expected[4], expected[3], *expected[:3]):
        return "; this looks like PyTorch's layout, Keras's is (kd, kh, kw, channels / groups, filters)"
    if got[:3] + got[4:] == expected[:3] + expected[4:]:
        return f"; it is for {got[3] * layer.groups} input channels, the input has {expected[3] * layer.groups}"
    return ""


def _left_over(by_name: dict[str, tuple[str, Shape]], headers: Iterable[str]) -> Iterator[str]:
    for name in headers:
        if name not in by_name:
            yield f"{quoted(name)} is left over: no layer has it" + (
                nearest(name, by_name) or f", expected {', '.join(by_name)}"
            )


def _cast(weights: Weights, name: str, dtype: np.dtype[Any], notes: list[str]) -> NDArray[Any]:
    array = weights[name]
    finite = np.isfinite(array)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype)
    if lost := np.count_nonzero(finite & ~np.isfinite(cast)):
        raise WeightsError(
            f"{quoted(weights.path)}: {name}: {lost} values are too large for {dtype}: "
            f"expected at most {np.finfo(dtype).max:.3g}"
        )
    if bad := finite.size - np.count_nonzero(finite):
        notes.append(f"{name}: {bad} of {finite.size} weights are not finite")
    if array.dtype.newbyteorder("=") != dtype:
        notes.append(f"{name}: cast from {array.dtype.newbyteorder('=')} to {dtype}")
    return cast
