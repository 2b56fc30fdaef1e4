"""Weights files by their suffix: one row for each format that can be read or written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from conv3d_cli.errors import LayerError, SpecError, UsageError, WeightsError, quoted
from conv3d_cli.models import read_model
from conv3d_cli.outfile import replacing
from conv3d_cli.weights.hdf5 import read_hdf5
from conv3d_cli.weights.hdf5_out import write_keras3, write_legacy
from conv3d_cli.weights.keras_zip import read_keras
from conv3d_cli.weights.models import named_by
from conv3d_cli.weights.npz import read_npz, write_npz
from conv3d_cli.weights.tensors import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from conv3d_cli.layers import Network
    from conv3d_cli.weights.mapping import Weights

    Writer = Callable[[BinaryIO, dict[str, NDArray[Any]], str], None]

READERS: dict[str, Callable[[str], Weights]] = {
    ".npz": read_npz,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".keras": read_keras,
    ".safetensors": read_safetensors,
}
WRITERS: dict[str, Writer] = {
    ".npz": lambda file, arrays, _: write_npz(file, arrays),
    ".weights.h5": write_keras3,
    ".h5": write_legacy,
    ".hdf5": write_legacy,
    ".safetensors": write_safetensors,
}
#: Files of Python objects, of which none is ever read.
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
#: Formats whose names of arrays are free; Keras's have their own.
FREE = (".npz", ".safetensors")


def read_weights(path: str) -> Weights:
    """Return the weights in a file as a mapping that reads each array when it is asked for.

    ``.h5`` is Keras's old layout or its new one, which is seen from the content; a whole model is read as well as
    weights alone. Layers that a file only counts get their names from the model's configuration, if that is there too.
    Raises WeightsError if the format is not known, or the file is damaged.
    """
    suffix = suffix_of(path, READERS)
    if suffix is None:
        raise WeightsError(_unknown(path, READERS))
    weights = READERS[suffix](path)
    # A configuration that nobody can read is no reason to refuse weights that can be.
    with suppress(SpecError):
        if weights.configured:
            return named_by(weights, read_model(path).entries)
    return weights


def check_writable(path: str, layout: str = "keras") -> None:
    """Raise UsageError for a name that says no format that can be written, or not in this layout."""
    suffix = suffix_of(path, WRITERS)
    if path.lower().endswith(".keras"):
        raise UsageError(
            f"{quoted(path)}: a .keras file holds a whole model, which weights alone do not make: "
            f"expected {' or '.join(WRITERS)}"
        )
    if suffix is None:
        raise UsageError(_unknown(path, WRITERS))
    if layout == "torch" and suffix not in FREE:
        raise UsageError(
            f"{quoted(path)}: {suffix} is Keras's own, in Keras's layout: expected {' or '.join(FREE)} for PyTorch's"
        )


def write_arrays(path: str, arrays: Mapping[str, NDArray[Any]], overwrite: bool = False, layout: str = "keras") -> None:
    """Write arrays by the names ``<layer>/<weight>``, or ``<weight>`` alone for one layer, in the format of the suffix.

    The same arrays give the same bytes in .npz and .safetensors. Raises UsageError for an unknown suffix, OutputError
    if the file exists and may not be replaced, or cannot be written.
    """
    check_writable(path, layout)
    with replacing(path, overwrite) as file:
        WRITERS[suffix_of(path, WRITERS) or ""](file, dict(arrays), layout)


def write_weights(path: str, network: Network, overwrite: bool = False) -> None:
    """Write the weights of a built network: ``kernel``, ``bias`` for one layer, else ``<layer>/kernel``...

    Raises LayerError if the network is not built, and what `write_arrays` raises.
    """
    check_writable(path)
    write_arrays(path, named_weights(network, bare=suffix_of(path, WRITERS) in FREE), overwrite)


def named_weights(network: Network, bare: bool = True) -> dict[str, NDArray[Any]]:
    """Return the weights of a built network by the names that a weights file gives them.

    ``bare`` leaves out the layer's name where one layer alone has weights.
    """
    if unbuilt := next((layer for layer in network if not layer.built), None):
        raise LayerError(f"layer {unbuilt.name!r}: has no weights before it is built: build it for an input shape")
    layers = {layer.name: layer.variables for layer in network if layer.variables}
    alone = bare and len(layers) == 1
    return {
        name if alone else f"{layer}/{name}": array
        for layer, arrays in layers.items()
        for name, array in arrays.items()
    }


def _unknown(path: str, table: Mapping[str, object]) -> str:
    suffix = PurePath(path).suffix.lower()
    hint = "; PyTorch's own files can run code: save the state_dict as .safetensors" if suffix in PICKLES else ""
    return f"{quoted(path)}: not a known weights file: got {suffix!r}, expected {' or '.join(table)}{hint}"


def suffix_of(path: str, table: Mapping[str, object]) -> str | None:
    """Return the longest suffix of a path that a table has, in lower case; None if it has none of it."""
    return max((suffix for suffix in table if path.lower().endswith(suffix)), key=len, default=None)
