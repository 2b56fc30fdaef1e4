"""The layers of a spec or a model file, as rows of a table and as documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.layers import Layer
from conv3d_cli.report import words

if TYPE_CHECKING:
    from conv3d_cli.models import Entry

Document = dict[str, Any]

ALONG_AXES = ("kernel_size", "strides", "dilation_rate")
"""Arguments that are lengths along the three axes."""


def layer_row(layer: Layer | Entry) -> Document:
    """Return a row about a layer: its name, its class, and the arguments that differ from their defaults.

    A layer of a model file that is no layer here is shown without its arguments.

    >>> from conv3d_cli.layers import Conv3D
    >>> layer_row(Conv3D(8, (3, 3, 1), padding="same", activation="relu"))["arguments"]
    'filters 8, kernel_size 3x3x1, padding same, activation relu'
    """
    if not isinstance(layer, Layer):
        return {"layer": layer.path, "class": layer.class_name}
    return {"layer": layer.name, "class": layer.class_name, "arguments": _arguments(layer)}


def layer_document(layer: Layer | Entry) -> Document:
    """Return name, class and configuration of a layer."""
    if not isinstance(layer, Layer):
        return {"name": layer.path, "class_name": layer.class_name, "config": dict(layer.config)}
    return {"name": layer.name, "class_name": layer.class_name, "config": layer.get_config()}


def _arguments(layer: Layer) -> str:
    known, said = layer.signature.arguments, []
    for name, value in layer.arguments().items():
        argument = known[name]
        if argument.required or _plain(value) != _plain(argument.normalise(argument.default, layer.keras)):
            said.append(f"{name} {words.times(value) if name in ALONG_AXES else _short(value)}")
    return ", ".join(said)


def _plain(value: Any) -> Any:
    return value.written() if hasattr(value, "written") else value


def _short(value: Any) -> str:
    """Return a value as a person would write it: a function by its name."""
    return str(value.name) if hasattr(value, "name") and hasattr(value, "config") else str(value)
