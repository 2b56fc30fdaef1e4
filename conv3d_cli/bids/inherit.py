"""What a dataset says of an image in files beside it and above it: BIDS's "Inheritance Principle".

A file such as task-rest_bold.json tells of every image below its folder that has its suffix and its entities. Of two
that say something of one key, the one that lies deeper is right, and in one folder the one with more entities.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from conv3d_cli.bids.dataset import Dataset, Image
from conv3d_cli.bids.files import read_object
from conv3d_cli.bids.names import Name

GRADIENTS = (".bval", ".bvec")
"""Extensions of the tables that a diffusion-weighted image means nothing without."""
DIFFUSION = "dwi"


class Inheritance:
    """The sidecars of a dataset; each folder is listed once, and each file read once."""

    def __init__(self, dataset: Dataset) -> None:
        self.root = dataset.root
        self._names = cache(self._listed)
        self._read = cache(read_object)

    def metadata(self, image: Image) -> dict[str, Any]:
        """Return all that the sidecars say of an image. Raises InputError for one that cannot be read."""
        found: dict[str, Any] = {}
        for path in self._applicable(image, ".json"):
            found |= self._read(path)
        return found

    def tables(self, image: Image) -> dict[str, Path]:
        """Return, by extension, the files that an image needs beside its sidecar."""
        if image.name.suffix != DIFFUSION:
            return {}
        nearest = {extension: [*self._applicable(image, extension)][-1:] for extension in GRADIENTS}
        return {extension: paths[0] for extension, paths in nearest.items() if paths}

    def _applicable(self, image: Image, extension: str) -> Iterator[Path]:
        """Yield the files that tell of an image, the one that is right last."""
        for folder in reversed(image.place.parents):
            here = Path(self.root, folder)
            names = [name for name in self._names(here) if name.extension == extension and name.applies_to(image.name)]
            yield from (here / str(name) for name in sorted(names, key=lambda name: (len(name.entities), str(name))))

    def _listed(self, folder: Path) -> list[Name]:
        with os.scandir(folder) as entries:
            return [name for entry in entries if (name := Name.parse(entry.name)) is not None]
