"""Weights that Keras wrote as HDF5, in either layout; every array is checked to lie whole in the file first."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from conv3d_cli.errors import OverLimit, WeightsError, quoted
from conv3d_cli.heaps import heaps_are_sound
from conv3d_cli.volumes.hdf5_checks import storage_problem
from conv3d_cli.weights.hdf5_groups import text
from conv3d_cli.weights.hdf5_layouts import Stored, layout
from conv3d_cli.weights.mapping import FileLayer, Header, Weights
from conv3d_cli.weights.opened import check_fits, check_real, opened, sha256_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import h5py
    from numpy.typing import NDArray

    Opener: TypeAlias = Callable[[], AbstractContextManager[BinaryIO]]

KIND = "HDF5"
MAGIC = b"\x89HDF\r\n\x1a\n"


def read_hdf5(path: str) -> Weights:
    """Return the weights of a ``.h5`` or ``.weights.h5`` file, told apart by what is in it.

    A model's configuration and its optimizer's state are left alone. Raises WeightsError if the file cannot be read,
    is damaged, leads elsewhere by links or external storage, or holds no weights of Keras.
    """
    with opened(path, KIND) as file:
        state, digest = state_of(file), sha256_of(file)
    return from_hdf5(path, digest, lambda: opened(path, KIND, state))


def from_hdf5(path: str, sha256: str, source: Opener) -> Weights:
    """Return the weights of an HDF5 file that ``source`` opens, now and whenever an array is asked for."""
    where = quoted(path)
    with source() as file:
        if not heaps_are_sound(file):
            raise WeightsError(f"{where}: the weights cannot be read: a heap of the HDF5 file is damaged")
    with source() as file, _hdf5(file) as h5:
        found = layout(where, h5)
        configured = "model_config" in h5.attrs
        size = file.seek(0, 2)
        places: dict[str, str] = {}
        headers: dict[str, Header] = {}
        layers: dict[str, FileLayer] = {}
        for one in found.stored:
            name = f"{one.layer}/{one.weight}".strip("/")
            if name in headers:
                raise WeightsError(f"{where}: {quoted(name)}: repeated: expected each array once")
            headers[name] = _header(f"{where}: {quoted(name)}", one, size)
            places[name] = str(one.dataset.name)
            layer = layers.setdefault(one.layer, FileLayer(one.layer, {}, one.class_name, one.place))
            layer.weights[one.weight] = name

    def load(name: str) -> NDArray[Any]:
        check_fits(f"{where}: {quoted(name)}", headers[name].nbytes)
        with source() as file, _hdf5(file) as h5:
            values: NDArray[Any] = h5[places[name]][()]
        return _widened(np.asarray(values)) if values.dtype.kind == "V" else np.asarray(values)

    return Weights(
        path,
        sha256,
        headers,
        load,
        layers=layers.values(),
        named=found.named,
        ordered=found.ordered,
        layout="keras",
        configured=configured,
    )


def hdf5_holds(path: str) -> str:
    """Return what an HDF5 file is: a ``"model"`` of Keras, ``"weights"`` of one, or else taken for a ``"volume"``.

    A file that cannot be read counts as a volume: whoever reads it tells what is wrong.
    """
    with suppress(WeightsError, OverLimit), opened(path, KIND) as file:
        if heaps_are_sound(file):
            with _hdf5(file) as h5:
                if "model_config" in h5.attrs:
                    return "model"
                if layout(quoted(path), h5).stored:
                    return "weights"
    return "volume"


@contextmanager
def _hdf5(file: BinaryIO) -> Iterator[h5py.File]:
    import h5py

    with h5py.File(file, "r") as h5:
        yield h5


def _header(where: str, one: Stored, file_size: int) -> Header:
    import h5py

    dataset = one.dataset
    if not isinstance(dataset, h5py.Dataset):
        raise WeightsError(f"{where}: no array: expected a dataset")
    if dataset.shape is None:
        raise WeightsError(f"{where}: holds no values: it has no dataspace")
    # Keras 3 stores bfloat16 as two opaque bytes with this attribute.
    brain = dataset.dtype == np.dtype("V2") and text(where, dataset, "dtype") == "bfloat16"
    dtype = np.dtype(np.float32) if brain else dataset.dtype
    check_real(where, dataset.shape, dtype)
    if problem := storage_problem(dataset, file_size):
        raise WeightsError(f"{where}: {problem}")
    return Header(dataset.shape, dtype)


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    """Return float32 of bfloat16: the same numbers, as each is the upper half of a float32."""
    return (np.ascontiguousarray(values).view("<u2").astype(np.uint32) << 16).view(np.float32)
