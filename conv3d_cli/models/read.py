"""A model file to a Model."""

from __future__ import annotations

import re

from conv3d_cli.errors import SpecError, quoted
from conv3d_cli.models.entry import Model
from conv3d_cli.models.files import read_written
from conv3d_cli.models.tree import Tree, looks_like_keras_3


def read_model(path: str) -> Model:
    """Return the layers that a ``.keras``, a legacy ``.h5`` or a ``.json`` of Keras 2 or 3 describes.

    What the file is, is told by its bytes. No weights are read and no code is run. Raises SpecError, in one line that
    names the file, if it is none of these, is damaged, or describes no layers.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.json")
    >>> layer = '{"class_name": "Conv3D", "config": {"name": "edges", "filters": 4, "kernel_size": 3}}'
    >>> _ = path.write_text('{"class_name": "Sequential", "config": {"name": "a", "layers": [' + layer + "]}}")
    >>> model = read_model(str(path))
    >>> [(entry.path, entry.class_name) for entry in model.entries], model.keras
    ([('edges', 'Conv3D')], 2)
    """
    written = read_written(path)
    keras = _dialect(path, written.version) or (3 if looks_like_keras_3(written.config) else 2)
    root = Tree(path, keras).read(written.config)
    if not any(root.entries()):
        raise SpecError([f"{quoted(path)}: the model is empty: expected at least one layer"])
    return Model(path, written.form, keras, written.version, written.sha256, root)


def _dialect(path: str, version: str) -> int | None:
    if not version:
        return None
    found = re.match(r"([23])\.\d", version)
    if found is None:
        raise SpecError([f"{quoted(path)}: written by Keras {quoted(version[:40])}: expected version 2 or 3"])
    return int(found[1])
