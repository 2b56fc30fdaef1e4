"""A model to a network, where its layers are in a row and all of kinds that run here."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from conv3d_cli.errors import LayerError, SpecError, UnknownArgument, quoted
from conv3d_cli.layers import Network
from conv3d_cli.layers.catalogue import LAYERS, make_layer
from conv3d_cli.models.clean import cleaned
from conv3d_cli.models.row import Row, described, first_convolution, wrappers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conv3d_cli.layers.layer import Layer
    from conv3d_cli.models.entry import Branch, Entry, Model

MOST_NAMED = 200


def build_network(model: Model) -> Network:
    """Return the network of a model whose layers are in a row, unbuilt; layers are named by their paths.

    What is read in another way than it is written, such as a mixed policy, goes to ``model.notes``. Raises SpecError:
    one line that names every layer that stands in the way and how to take out a Conv3D, or one line for each layer
    whose arguments are refused.

    >>> from conv3d_cli.models import read_model
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.json")
    >>> layer = '{"class_name": "Conv3D", "config": {"name": "edges", "filters": 4, "kernel_size": 3}}'
    >>> _ = path.write_text('{"class_name": "Sequential", "config": {"name": "a", "layers": [' + layer + "]}}")
    >>> [layer.name for layer in build_network(read_model(str(path)))]
    ['edges']
    """
    row = Row(model.root)
    if reasons := [*_unsupported(model.root), *row.reasons]:
        if len(reasons) > MOST_NAMED:
            reasons[MOST_NAMED:] = [f"{len(reasons) - MOST_NAMED} more"]
        text = f"{quoted(model.path)}: the model cannot run whole: {'; '.join(reasons)}"
        raise SpecError([text + _way_out(model)])
    return _network(model, row.entries)


def _network(model: Model, entries: Iterable[Entry]) -> Network:
    layers, problems, notes = [], [], []
    for entry in entries:
        try:
            layer, note = _layer(entry)
        except (LayerError, UnknownArgument) as error:
            problems.append(f"{quoted(model.path)}: layer {described(entry)}: {error}")
            continue
        layers.append(layer)
        notes.append(note)
    if not problems:
        try:
            network = Network(layers)
        except (LayerError, UnknownArgument) as error:
            problems.append(f"{quoted(model.path)}: {error}")
    if problems:
        raise SpecError(problems)
    model.notes.extend(note for note in dict.fromkeys(notes) if note and note not in model.notes)
    return network


def _layer(entry: Entry) -> tuple[Layer, str]:
    if entry.extra:
        raise UnknownArgument(f"{quoted(entry.extra[0])}: no key of a layer in a model file", entry.extra[0])
    config, note = cleaned(entry.class_name, entry.config)
    return make_layer(entry.class_name, {**config, "name": entry.path}, entry.keras), note


def _runs(entry: Entry) -> bool:
    return entry.own and entry.class_name in LAYERS


def _unsupported(root: Branch) -> list[str]:
    """Return each class that does not run here, with the layers that are of it."""
    found: dict[str, list[str]] = {}
    for entry in root.entries():
        if not _runs(entry):
            found.setdefault(entry.class_name, []).append(quoted(entry.path))
    for wrapper in wrappers(root):
        found.setdefault(wrapper.class_name, []).append(quoted(wrapper.path))
    return [
        f"{', '.join(paths[:MOST_NAMED])} ({quoted(name)[1:-1]}) {'is' if len(paths) == 1 else 'are'} not supported"
        for name, paths in found.items()
    ]


def _way_out(model: Model) -> str:
    example = first_convolution(model.root)
    if example is None:
        return ""
    words = ["conv3d", "weights", "convert", model.path, "--layer", example.path, "-o", f"{example.name}.npz"]
    command = " ".join(
        quoted(shlex.quote(word))[1:-1] if not word.isprintable() else shlex.quote(word) for word in words
    )
    return f"; one layer can be taken out: {command}"
