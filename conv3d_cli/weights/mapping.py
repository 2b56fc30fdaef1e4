"""Weights as a file holds them: names, shapes and dtypes at once, values only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Header:
    """What a file announces about one array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


class Weights(Mapping[str, "NDArray[Any]"]):
    """A weights file as a mapping from name to array; an array is read each time it is asked for.

    Names are those of the file: ``kernel``, or ``<layer>/kernel``. ``headers`` has shape and dtype of each
    without reading it, ``sha256`` is the hash of the file's bytes, ``load`` reads one array.
    """

    def __init__(
        self, path: str, sha256: str, headers: Mapping[str, Header], load: Callable[[str], NDArray[Any]]
    ) -> None:
        self.path = path
        self.sha256 = sha256
        self.headers = dict(headers)
        self._load = load

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.headers:
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.headers)

    def __len__(self) -> int:
        return len(self.headers)
