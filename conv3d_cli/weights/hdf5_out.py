"""Weights as Keras writes them in HDF5: ``save_weights`` of Keras 2 (``.h5``), and Keras 3's ``.weights.h5``.

The file is made in memory, which holds the weights anyhow: HDF5 ends the process when a disk is full.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from conv3d_cli.weights.mapping import split_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

#: Bytes that HDF5 keeps of an attribute; Keras splits longer ones.
ATTRIBUTE_BYTES = 64_512
#: Who writes so: Keras turns kernels of files that do not say it.
WRITER = {"keras_version": b"2.4.0", "backend": b"tensorflow"}
#: Keras's name of a layer that nobody named, and of a Sequential inside a model.
BARE, INNER = "conv3d", "sequential"


def write_legacy(file: BinaryIO, arrays: Arrays, layout: str = "keras") -> None:
    """Write ``<layer>/<weight>`` as ``save_weights`` does; layers of a model inside form one group, as there."""
    _write(file, arrays, _legacy)


def write_keras3(file: BinaryIO, arrays: Arrays, layout: str = "keras") -> None:
    """Write ``<layer>/<weight>`` by class and number, with the layers' names beside them."""
    _write(file, arrays, _keras3)


def _write(file: BinaryIO, arrays: Arrays, fill: Callable[[h5py.File, dict[str, Arrays]], None]) -> None:
    import h5py

    layers: dict[str, Arrays] = {}
    for name, array in arrays.items():
        layer, weight = split_name(name)
        layers.setdefault(layer or BARE, {})[weight] = array
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as h5:
        fill(h5, layers)
    file.write(buffer.getbuffer())


def _legacy(h5: h5py.File, layers: dict[str, Arrays]) -> None:
    groups: dict[str, Arrays] = {}
    for path, weights in layers.items():
        outer, _, inner = path.partition("/")
        groups.setdefault(outer, {}).update({f"{inner or outer}/{w}:0": array for w, array in weights.items()})
    for name, value in WRITER.items():
        h5.attrs[name] = value
    _names(h5, "layer_names", list(groups))
    for outer, weights in groups.items():
        group = h5.create_group(outer)
        _names(group, "weight_names", list(weights))
        for name, array in weights.items():
            group.create_dataset(name, data=array)


def _names(thing: h5py.Group, attribute: str, names: list[str]) -> None:
    """Store names as Keras does, in as many attributes as they need."""
    encoded = np.array([name.encode() for name in names])
    parts = 1
    while any(part.nbytes > ATTRIBUTE_BYTES for part in np.array_split(encoded, parts)):
        parts += 1
    for number, part in enumerate(np.array_split(encoded, parts)):
        thing.attrs[attribute if parts == 1 else f"{attribute}{number}"] = part


def _keras3(h5: h5py.File, layers: dict[str, Arrays]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    places: dict[str, str] = {"": ""}

    def place(path: str, kind: str) -> str:
        """Return the group of a layer, making those of the models around it."""
        if path not in places:
            outer, _, name = path.rpartition("/")
            around = place(outer, INNER)
            number = counts[around, kind]
            counts[around, kind] += 1
            places[path] = f"{around}/layers/{kind}_{number}" if number else f"{around}/layers/{kind}"
            h5.create_group(f"{places[path]}/vars").attrs["name"] = name
        return places[path]

    h5.create_group("vars")
    for path, weights in layers.items():
        group = place(path, "conv3d" if "kernel" in weights else "p_re_lu")
        # The alpha of a convolution is that of its activation, a layer inside the layer.
        inside = {"alpha": weights["alpha"]} if "kernel" in weights and "alpha" in weights else {}
        own = {name: array for name, array in weights.items() if name not in inside}
        for place_of, arrays in ((group, own), (f"{group}/activation", inside)):
            for number, array in enumerate(arrays.values()):
                h5.require_group(f"{place_of}/vars").create_dataset(str(number), data=array)
