"""Weights in safetensors, by the package of that name, which is an extra: values after a JSON header, no code in it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from conv3d_cli.errors import UsageError, WeightsError, quoted
from conv3d_cli.weights.mapping import Header, Weights
from conv3d_cli.weights.opened import check_fits, check_real, one_line, opened, sha256_of, state_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "safetensors"
INSTALL = "pip install 'conv3d-cli[safetensors]'"
#: The key of the header's metadata that says whose axes the kernels have; PyTorch's files say format: pt.
LAYOUT = "layout"
DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "f4", "BOOL": "?"} | {
    f"{letter}{bits}": f"{letter.lower()}{bits // 8}" for letter in "IU" for bits in (8, 16, 32, 64)
}


def read_safetensors(path: str) -> Weights:
    """Return the tensors of a safetensors file; only the header is read now, and bfloat16 is widened to float32.

    Raises WeightsError if the file is damaged or holds other types, UsageError if the package is not installed.
    """
    package = _package("safetensors")
    with opened(path, KIND) as file:
        state, digest = state_of(file), sha256_of(file)
        with _sound(path), package.safe_open(path, framework="np") as tensors:
            kinds = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - it is no mapping
            about = {name: (tuple(one.get_shape()), str(one.get_dtype())) for name, one in kinds.items()}
            metadata = tensors.metadata() or {}
    headers = {name: _header(f"{quoted(path)}: {quoted(name)}", *about[name]) for name in about}
    layout = {"pt": "torch"}.get(metadata.get("format", ""), metadata.get(LAYOUT))

    def load(name: str) -> NDArray[Any]:
        check_fits(f"{quoted(path)}: {quoted(name)}", headers[name].nbytes)
        with opened(path, KIND, state) as file, _sound(path):
            if about[name][1] != "BF16":
                with package.safe_open(path, framework="np") as tensors:
                    array: NDArray[Any] = tensors.get_tensor(name)
                    return array
            # NumPy has no such type, so that the package gives its bytes only together with all others.
            check_fits(quoted(path), state[1])
            raw = dict(package.deserialize(file.read()))[name]["data"]
            return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(headers[name].shape)

    return Weights(path, digest, headers, load, layout=layout if layout in ("keras", "torch") else None)


def write_safetensors(file: BinaryIO, arrays: dict[str, NDArray[Any]], layout: str) -> None:
    """Write arrays as safetensors, with one word of metadata that says whose layout it is."""
    metadata = {"format": "pt"} if layout == "torch" else {LAYOUT: layout}
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    file.write(_package("safetensors.numpy").save(little, metadata=metadata))


def _header(where: str, shape: tuple[int, ...], dtype: str) -> Header:
    if dtype not in DTYPES:
        raise WeightsError(f"{where}: no numbers that NumPy has: got {dtype}, expected {', '.join(DTYPES)}")
    header = Header(shape, np.dtype(DTYPES[dtype]))
    check_real(where, shape, header.dtype)
    return header


class _sound:  # noqa: N801 - reads as what it asks of the file
    """The package's own errors, which derive from Exception alone, as a WeightsError that names the file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        """Translate what the package raises."""
        theirs = getattr(sys.modules.get("safetensors"), "SafetensorError", None)
        if theirs is not None and isinstance(error, theirs):
            raise WeightsError(f"{quoted(self.path)}: not a sound safetensors file: {one_line(error)}") from error


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"safetensors: the package is not installed: expected {INSTALL}") from error
