"""Weights files by their suffix: one row for each format that can be read or written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from conv3d_cli.errors import LayerError, UsageError, WeightsError, quoted
from conv3d_cli.outfile import replacing
from conv3d_cli.weights.npz import read_npz, write_npz

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from conv3d_cli.layers import Network
    from conv3d_cli.weights.mapping import Weights

READERS: dict[str, Callable[[str], Weights]] = {".npz": read_npz}
WRITERS: dict[str, Callable[[BinaryIO, dict[str, NDArray[Any]]], None]] = {".npz": write_npz}


def read_weights(path: str) -> Weights:
    """Return the weights in a file as a mapping that reads each array when it is asked for.

    Raises WeightsError if the format is not known, or the file is damaged.
    """
    suffix = _suffix(path)
    if suffix not in READERS:
        raise WeightsError(f"{quoted(path)}: not a known weights file: got {suffix!r}, expected {' or '.join(READERS)}")
    return READERS[suffix](path)


def write_weights(path: str, network: Network, overwrite: bool = False) -> None:
    """Write the weights of a built network: ``kernel``, ``bias`` for one layer, else ``<layer>/kernel``...

    The same weights give the same bytes. Raises UsageError for an unknown suffix, LayerError if the network
    is not built, OutputError if the file exists and may not be replaced, or cannot be written.
    """
    suffix = _suffix(path)
    if suffix not in WRITERS:
        raise UsageError(f"{quoted(path)}: not a known weights file: got {suffix!r}, expected {' or '.join(WRITERS)}")
    arrays = named_weights(network)
    with replacing(path, overwrite) as file:
        WRITERS[suffix](file, arrays)


def named_weights(network: Network) -> dict[str, NDArray[Any]]:
    """Return the kernels and biases of a built network by the names that a weights file gives them."""
    layers = list(network)
    arrays: dict[str, NDArray[Any]] = {}
    for layer in layers:
        if not layer.built:
            raise LayerError(f"layer {layer.name!r}: has no weights before it is built: build it for an input shape")
        prefix = f"{layer.name}/" if len(layers) > 1 else ""
        names = ("kernel", "bias") if layer.use_bias else ("kernel",)
        arrays |= {prefix + name: array for name, array in zip(names, layer.weights, strict=True)}
    return arrays


def _suffix(path: str) -> str:
    return Path(path).suffix.lower()
