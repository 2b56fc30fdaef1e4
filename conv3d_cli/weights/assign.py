"""Weights into a network: names and shapes are compared from the headers, and only then are values read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import WeightsError, nearest, quoted
from conv3d_cli.layers import Conv3D
from conv3d_cli.weights.match import Match, Shape, Shapes, match, nested
from conv3d_cli.weights.models import named_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from conv3d_cli.layers import Layer, Network
    from conv3d_cli.models import Entry
    from conv3d_cli.weights.mapping import Weights

CONVERT = "'conv3d weights convert --from torch' turns it"


def expected_shapes(network: Network, input_shape: int | Sequence[int | None]) -> Shapes:
    """Return the shape of every weight by layer and name, for an input of a shape, or of so many channels.

    >>> from conv3d_cli.layers import Conv3D, Network
    >>> layers = [Conv3D(8, 3, name="edges"), Conv3D(2, 1, name="mix", use_bias=False)]
    >>> expected_shapes(Network(layers), 1)
    {'edges': {'kernel': (3, 3, 3, 1, 8), 'bias': (8,)}, 'mix': {'kernel': (1, 1, 1, 8, 2)}}
    """
    return network.weight_shapes(input_shape)


def channels_of(network: Network, weights: Weights) -> int:
    """Return the channels of the input that weights are made for, off the kernel of the first layer that has one.

    Raises WeightsError if the file has no kernel for it.
    """
    first = next((layer for layer in network if isinstance(layer, Conv3D)), None)
    own = {} if first is None else match({first.name: {"kernel": ()}}, weights).names[first.name]
    names = (
        [own["kernel"]]
        if own.get("kernel") in weights.headers
        else [n for n in weights.headers if n.endswith("kernel")]
    )
    shape = weights.headers[names[0]].shape if names else ()
    if first is None or len(shape) != 5:
        raise WeightsError(
            f"{quoted(weights.path)}: has no kernel to read the number of channels off: expected --channels "
            "(input_shape, from Python)"
        )
    return shape[3] * first.groups


def assign(
    network: Network, weights: Weights, input_shape: int | Sequence[int | None], entries: Iterable[Entry] = ()
) -> list[str]:
    """Give every layer its weights, cast to the layer's dtype; returns notes for the report.

    A network with weights in one layer takes ``kernel`` and ``bias`` as well as ``<layer>/kernel`` and
    ``<layer>/bias``; kernels are in Keras's layout ``(kd, kh, kw, channels / groups, filters)``. A file that numbers
    its layers is read in order, or by the ``entries`` of the model that the network was made from. A note says what
    was cast, what is not finite, and where order was gone by for want of known names. Raises WeightsError, which tells
    everything that is missing, left over or of the wrong shape, before a value is read; ShapeError if the network
    cannot take such an input.
    """
    weights, found = _matched(network, weights, input_shape, entries)
    notes, shapes = list(found.notes), network.weight_shapes(input_shape)
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for layer in network:
        dtype, names = np.dtype(layer.dtype), found.names.get(layer.name, {})
        arrays[layer.name] = {
            w: _cast(weights, name, dtype, notes) if name in weights.headers else _alpha(layer, w, shapes, notes)
            for w, name in names.items()
        }
    # Only now, so that a network is not left half assigned by a value that cannot be read.
    for layer in network:
        layer.assign(arrays[layer.name])
    return notes


def check(
    network: Network, weights: Weights, input_shape: int | Sequence[int | None], entries: Iterable[Entry] = ()
) -> dict[str, dict[str, str]]:
    """Return the file's name of every weight, by layer; WeightsError as in `assign`, reading nothing."""
    return _matched(network, weights, input_shape, entries)[1].names


def _matched(
    network: Network, weights: Weights, input_shape: int | Sequence[int | None], entries: Iterable[Entry]
) -> tuple[Weights, Match]:
    """Return the weights by the names of the model, and which is whose; WeightsError unless all fit."""
    if entries := list(entries):
        weights = named_by(weights, entries)
    if not weights.named and nested(weights):
        raise WeightsError(
            f"{quoted(weights.path)}: its layers have no names, and some stand in models inside the model, so that "
            f"their order is not known: got {', '.join(list(weights.layers)[:6])}, expected the model's own file"
        )
    shapes = expected_shapes(network, input_shape)
    found = match(shapes, weights)
    by_name = {found.names[layer][w]: (layer, shape) for layer, ws in shapes.items() for w, shape in ws.items()}
    problems = [*_misfits(by_name, weights, network), *_left_over(by_name, weights.headers)]
    if problems:
        raise WeightsError("\n".join(f"{quoted(weights.path)}: {problem}" for problem in problems))
    return weights, found


def _misfits(by_name: dict[str, tuple[str, Shape]], weights: Weights, network: Network) -> Iterator[str]:
    layers = {layer.name: layer for layer in network}
    headers = weights.headers
    torch = f"; this looks like PyTorch's: {CONVERT}" if weights.layout == "torch" else ""
    for name, (layer, expected) in by_name.items():
        if name not in headers and _given(layers[layer], name):
            continue
        if name not in headers:
            yield f"layer {quoted(layer)}: {name} is missing: expected shape {expected}{torch}"
        elif (got := headers[name].shape) != expected:
            yield f"layer {quoted(layer)}: {name} has the wrong shape: got {got}, expected {expected}" + _why(
                got, expected, layers[layer]
            )


def _given(layer: Layer, name: str) -> bool:
    """Return whether a weight that the file lacks is a PReLU's slope whose values are known without it.

    Keras 3 makes the slope of a PReLU inside a Conv3D at the first call: a model that was saved before has none.
    """
    initializer = layer.initializers.get("alpha") if name.rpartition("/")[2] == "alpha" else None
    return initializer is not None and (not initializer.random or initializer.seed is not None)


def _alpha(layer: Layer, weight: str, shapes: Shapes, notes: list[str]) -> NDArray[Any]:
    notes.append(
        f"{layer.name}/{weight} is not in the file, as before a first call: its initializer's values are taken"
    )
    return layer.initializers[weight](shapes[layer.name][weight], layer.dtype)


def _why(got: Shape, expected: Shape, layer: Any) -> str:
    """Return what a wrong shape suggests, or nothing."""
    if len(expected) != 5 or len(got) != 5:
        return ""
    if got == (expected[4], expected[3], *expected[:3]):
        return f"; this looks like PyTorch's layout, Keras's is (kd, kh, kw, channels / groups, filters): {CONVERT}"
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
