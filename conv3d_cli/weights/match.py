"""Which array of a file is which weight of a network: by name, else by the order that Keras itself goes by."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from conv3d_cli.errors import quoted
from conv3d_cli.frozen import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conv3d_cli.weights.mapping import FileLayer, Weights

Shape = tuple[int, ...]
Shapes = dict[str, dict[str, Shape]]


@frozen
class Match:
    """The file's name of every weight, by layer, whether it is there or not; and what is to be said about it."""

    names: dict[str, dict[str, str]]
    notes: list[str] = field(default_factory=list)


def match(shapes: Shapes, weights: Weights) -> Match:
    """Return where a file has the weights of layers with such shapes.

    A file of one layer may leave out its name. A layer inside of others is found by its own name if no other has it.
    Where no name is known, or the file has none, layers are taken in order, of each kind for itself if the file
    numbers them so.
    """
    if len(shapes) == 1 and "" in weights.layers and len(weights.layers) == 1:
        return Match({layer: {weight: weight for weight in wanted} for layer, wanted in shapes.items()})
    found = {} if not weights.named else {layer: path for layer in shapes if (path := _path(layer, weights.layers))}
    numbered = not weights.named or any(layer.place for layer in weights.layers.values())
    # Of numbers alone nobody can tell where among the layers a model inside stands.
    if not found and (weights.ordered or (numbered and not nested(weights))):
        by_order = _in_order(shapes, weights, by_kind=numbered and not weights.ordered)
        if by_order is not None:
            note = [] if not weights.named else [_note(by_order, weights)]
            return Match(_names(shapes, by_order), note)
    return Match(_names(shapes, found))


def nested(weights: Weights) -> bool:
    """Return whether a file has layers of models inside of the model."""
    return any("/" in path for path in weights.layers)


def _path(layer: str, known: Mapping[str, FileLayer]) -> str | None:
    """Return the file's path of a layer: the same, or the only one that ends or begins with its name."""
    if layer in known:
        return layer
    for alike in (
        [path for path in known if path.endswith(f"/{layer}")],
        [path for path in known if layer.endswith(f"/{path}")],
        [path for path in known if path.startswith(f"{layer}/")],
    ):
        if len(alike) == 1:
            return alike[0]
    return None


def _in_order(shapes: Shapes, weights: Weights, *, by_kind: bool) -> dict[str, str] | None:
    """Return the file's layer of each layer by their order, or None unless number, weights and shapes agree."""
    ours: dict[tuple[str, ...], list[str]] = defaultdict(list)
    theirs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for layer, wanted in shapes.items():
        ours[_kind(wanted) if by_kind else ()].append(layer)
    for path, one in weights.layers.items():
        theirs[_kind(one.weights) if by_kind else ()].append(path)
    if {kind: len(some) for kind, some in ours.items()} != {kind: len(some) for kind, some in theirs.items()}:
        return None
    pairs = {layer: path for kind, some in ours.items() for layer, path in zip(some, theirs[kind], strict=True)}
    fits = all(
        {weight: weights.headers[name].shape for weight, name in weights.layers[path].weights.items()} == shapes[layer]
        for layer, path in pairs.items()
    )
    return pairs if fits or not weights.named else None


def _kind(names: Mapping[str, object]) -> tuple[str, ...]:
    """Return what tells the kinds of layers apart that this tool has: all that have a kernel are Conv3D."""
    return ("kernel",) if "kernel" in names else tuple(sorted(names))


def _names(shapes: Shapes, paths: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {
        layer: {weight: f"{paths.get(layer, layer)}/{weight}".strip("/") for weight in wanted}
        for layer, wanted in shapes.items()
    }


def _note(pairs: Mapping[str, str], weights: Weights) -> str:
    shown = ", ".join(f"{layer} takes {path}" for layer, path in list(pairs.items())[:6])
    more = f" and {len(pairs) - 6} more" if len(pairs) > 6 else ""
    return f"{quoted(weights.path)}: no layer has a name of the spec's: taken in order, {shown}{more}"
