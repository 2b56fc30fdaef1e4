"""Weights as a file holds them: names, shapes and dtypes at once, values only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from conv3d_cli.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Names that PyTorch gives to the arrays of a module; it joins them to the module's with a dot.
TORCH_NAMES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@frozen
class Header:
    """What a file announces about one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


@frozen
class FileLayer:
    """A layer as a file has it: its weights' names in the file by their own, in the order of the file.

    ``class_name`` is Keras's, or None where the file does not tell; ``place`` is the group of a Keras 3 file.
    """

    path: str
    weights: dict[str, str]
    class_name: str | None = None
    place: str | None = None


class Weights(Mapping[str, "NDArray[Any]"]):
    """A weights file as a mapping from name to array; an array is read each time it is asked for.

    Names are ``kernel``, or ``<layer>/kernel``, a layer inside of others being ``<outer>/<inner>``. ``headers`` has
    shape and dtype of each without reading it, ``layers`` says whose it is, ``sha256`` is the hash of the file's
    bytes, ``load`` reads one array. ``named`` is False where the file numbers its layers by class, and so has no names
    of them; ``ordered`` is True where the order of the file's layers is the model's. ``layout`` is ``"keras"``,
    ``"torch"``, or None where neither shows. ``configured`` tells that the model's configuration is in the file too.
    """

    def __init__(
        self,
        path: str,
        sha256: str,
        headers: Mapping[str, Header],
        load: Callable[[str], NDArray[Any]],
        *,
        layers: Iterable[FileLayer] | None = None,
        named: bool = True,
        ordered: bool = False,
        layout: str | None = None,
        configured: bool = False,
    ) -> None:
        self.path = path
        self.sha256 = sha256
        self.headers = dict(headers)
        self.layers = {layer.path: layer for layer in (grouped(self.headers) if layers is None else layers)}
        self.named = named
        self.ordered = ordered
        self.configured = configured
        self.layout = layout or layout_of(self.headers)
        self._load = load

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.headers:
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)


def split_name(name: str) -> tuple[str, str]:
    """Return the layer and the weight that a name stands for, as Keras or as PyTorch writes it; bare: no layer.

    >>> split_name("block/edges/kernel"), split_name("net.0.weight"), split_name("bias")
    (('block/edges', 'kernel'), ('net.0', 'weight'), ('', 'bias'))
    """
    for separator, known in (("/", None), (".", TORCH_NAMES)):
        layer, _, weight = name.rpartition(separator)
        if layer and (known is None or weight in known):
            return layer, weight
    return "", name


def grouped(names: Iterable[str]) -> list[FileLayer]:
    """Return the layers that names stand for, in order of their first."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        layer, weight = split_name(name)
        found.setdefault(layer, {})[weight] = name
    return [FileLayer(layer, weights) for layer, weights in found.items()]


def layout_of(headers: Mapping[str, Header]) -> str | None:
    """Return the framework whose names the arrays have: Keras's kernel, PyTorch's weight, or neither."""
    last = {split_name(name)[1] for name in headers}
    if last & {"kernel", "alpha"}:
        return "keras"
    return "torch" if "weight" in last else None
