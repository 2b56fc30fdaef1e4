"""The attributes of an HDF5 dataset: which can be read, and which still hold of the output of a convolution."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.errors import quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.heaps import Guarded
from conv3d_cli.volumes.making import ATTRIBUTE
from conv3d_cli.volumes.signals import deferred

if TYPE_CHECKING:
    import h5py

SIZE, UNIT = "element_size_um", "element_size_unit"
#: What is written anew for every output, and so neither carried nor left out.
RENEWED = {SIZE, UNIT, ATTRIBUTE}
#: Read are attributes of at most this many bytes, and the first so many.
LARGEST, MOST = 4096, 256
#: HDF5's own bookkeeping: what makes a dataset a scale, and which datasets are its scales.
BOOKKEEPING = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"}
#: Words of names that tell of the grid, of the channels or of the values, none of which the output shares.
OF_THE_INPUT = {
    "spacing", "resolution", "voxel", "voxels", "pixel", "pixels", "element", "origin", "offset", "position",
    "translation", "transform", "affine", "matrix", "orientation", "direction", "shape", "size", "sizes", "dim", "dims",
    "extent", "bounds", "bbox", "box", "chunk", "chunks", "scale", "scales", "downsampling", "channel", "channels",
    "axistags", "min", "max", "minimum", "maximum", "mean", "std", "median", "sum", "range", "histogram", "percentile",
    "percentiles", "statistics", "stats", "fill", "missing", "nodata", "dtype", "bits", "checksum", "md5", "sha",
    "sha1", "sha256", "crc", "crc32", "hash", "slope", "intercept", "window", "display", "lut", "palette", "image",
}  # fmt: skip
#: Words of names that tell of the axes, and hold as long as there are as many.
OF_THE_AXES = {"axis", "axes", "dimension", "dimensions", "label", "labels"}
BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError)
_WORDS = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+(?![a-z])[0-9]*")


@frozen
class Attributes:
    """Values by name, the names of those that were too large, of no simple type or damaged, and the dataset's rank."""

    values: dict[str, Any]
    unread: tuple[str, ...]
    rank: int

    def carried(self, rank: int) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the attributes that hold of an output of so many axes, and the names of the others.

        >>> found = Attributes({"units": "HU", "maxValue": 9, "axis_names": "zyx", "element_size_um": 1}, (), 3)
        >>> found.carried(3)
        ({'axis_names': 'zyx', 'units': 'HU'}, ('maxValue',))
        >>> found.carried(4)[1]
        ('axis_names', 'maxValue')
        """
        rest = {name: value for name, value in sorted(self.values.items()) if name not in RENEWED}
        kept = {name: value for name, value in rest.items() if _holds(name, rank == self.rank)}
        dropped = {*self.unread, *rest} - {*kept, *RENEWED}
        return kept, tuple(sorted(dropped))


def read_attributes(path: str, dataset: h5py.Dataset) -> Attributes:
    """Return the small attributes of a dataset: numbers and texts, single or in arrays.

    Texts of varying length lie in heaps, which HDF5 walks without an end if they are damaged: they are read through a
    guard, and count as unread if it refuses.
    """
    names = _names(dataset)
    kinds = {name: _kind(dataset, name) for name in names[:MOST]}
    plain, texts = ([name for name, kind in kinds.items() if kind == wanted] for wanted in ("plain", "text"))
    values = {name: value for name in plain if (value := _value(dataset, name)) is not None}
    if texts:
        values |= _texts(path, str(dataset.name), texts)
    return Attributes(values, tuple(name for name in names if name not in values), dataset.ndim)


def write_attributes(dataset: h5py.Dataset, values: dict[str, Any]) -> None:
    """Write attributes as ``read_attributes`` gives them."""
    import h5py

    for name, value in values.items():
        text = isinstance(value, str) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")
        dataset.attrs.create(name, value, dtype=h5py.string_dtype() if text else None)


def _holds(name: str, same_rank: bool) -> bool:
    words = {word.lower() for word in _WORDS.findall(name)}
    return name not in BOOKKEEPING and not words & OF_THE_INPUT and (same_rank or not words & OF_THE_AXES)


def _names(dataset: h5py.Dataset) -> list[str]:
    import h5py

    found: list[bytes] = []
    h5py.h5a.iterate(dataset.id, lambda name, *_: found.append(name))
    return sorted(name.decode("utf-8", "surrogateescape") for name in found)


def _kind(dataset: h5py.Dataset, name: str) -> str:
    """Return ``"plain"`` for small numbers and texts of one length, ``"text"`` for texts of any, ``""`` for others."""
    import h5py

    try:
        found = h5py.h5a.open(dataset.id, name.encode("utf-8", "surrogateescape"))
        kind = found.get_type()
        if not 0 < found.get_storage_size() <= LARGEST:
            return ""
        if kind.get_class() == h5py.h5t.STRING and kind.is_variable_str():
            return "text"
        simple = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING)
        return "plain" if simple or found.dtype == bool else ""
    except BROKEN:
        return ""


def _texts(path: str, where: str, names: list[str]) -> dict[str, Any]:
    """Return the texts of varying length that can be read, by a second opening that reads little else of the file."""
    import h5py

    found: dict[str, Any] = {}
    with deferred(), Path(path).open("rb") as raw:
        try:
            with h5py.File(Guarded(raw), "r") as file:
                dataset = file[where]
                found = {name: value for name in names if (value := _value(dataset, name)) is not None}
        except BROKEN:
            return found
    return found


def _value(dataset: h5py.Dataset, name: str) -> Any:
    """Return an attribute's value, or None if it cannot be read or is more text than is carried."""
    try:
        value = dataset.attrs[name]
    except BROKEN:
        return None
    parts = np.ravel(value).tolist() if isinstance(value, np.ndarray) else [value]
    return value if sum(len(part) for part in parts if isinstance(part, str)) <= LARGEST else None


def dropped_words(names: tuple[str, ...], shown: int = 8) -> str:
    """Return names for a note, the first few of many."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(map(quoted, names[:shown])) + more
