"""Names for the layers of a weights file out of the model's configuration, where the file itself only counts them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from conv3d_cli.errors import WeightsError, quoted
from conv3d_cli.frozen import replace
from conv3d_cli.models import legacy_owners
from conv3d_cli.weights.mapping import FileLayer, Header, Weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conv3d_cli.models import Entry


def named_by(weights: Weights, entries: Iterable[Entry]) -> Weights:
    """Return the weights with the names and the classes that a model gives to the layers of a file.

    A Keras 3 file is matched by the places of its groups, a legacy one by names. Layers that the model does not have
    keep the names they had, and if the places of all are unknown, the file is left as it is.
    """
    entries = list(entries)
    places = {place.removesuffix("/vars"): entry for entry in entries for place in entry.storage}
    paths = {entry.path: entry for entry in entries}
    found = [
        (layer, places.get(layer.place) if layer.place is not None else paths.get(_legacy_path(layer.path, entries)))
        for layer in weights.layers.values()
    ]
    counted = Counter(entry.path for _, entry in found if entry is not None)
    layers: list[FileLayer] = []
    names: dict[str, str] = {}
    for layer, entry in found:
        # Several in one layer of a legacy model are layers inside it, as attention has: they keep the names they had.
        if entry is None or (layer.place is None and counted[entry.path] > 1):
            if not weights.named:
                return weights
            layers.append(layer)
            names |= {name: name for name in layer.weights.values()}
            continue
        renamed = {weight: f"{entry.path}/{weight}" for weight in layer.weights}
        names |= {renamed[weight]: old for weight, old in layer.weights.items()}
        layers.append(replace(layer, path=entry.path, weights=renamed, class_name=entry.class_name))
    if len(names) < len(weights.headers):
        raise WeightsError(f"{quoted(weights.path)}: two groups of it have the weights of one layer of the model")
    order = {entry.path: number for number, entry in enumerate(entries)}
    layers.sort(key=lambda layer: order.get(layer.path, len(order)))
    headers: dict[str, Header] = {
        name: weights.headers[names[name]] for layer in layers for name in layer.weights.values()
    }
    return Weights(
        weights.path,
        weights.sha256,
        headers,
        lambda name: weights[names[name]],
        layers=layers,
        ordered=True,
        layout=weights.layout,
    )


def _legacy_path(path: str, entries: list[Entry]) -> str:
    """Return the model's path of a layer of a legacy file, which leaves out the models between it and the outermost."""
    for group in {entry.group for entry in entries}:
        if path == group or path.startswith(f"{group}/"):
            inside = path.removeprefix(f"{group}/")
            return next(iter(legacy_owners(entries, group, [f"{inside}/weight"])))
    return path
