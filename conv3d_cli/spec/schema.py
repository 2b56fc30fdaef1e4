"""The JSON Schema of a spec, for editors and other tools, composed from the table of Conv3D's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conv3d_cli.layers import LAYERS
from conv3d_cli.layers.arguments import ARGUMENTS
from conv3d_cli.layers.signature import DIALECTS, Argument
from conv3d_cli.spec.folding import folded
from conv3d_cli.spec.forms import FILE_KEYS, WRAPPER_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every accepted spec satisfies.

    It holds what a schema can say: names, types, ranges. Rules between arguments, and the places of errors,
    are those of `load_spec`.

    >>> schema = json_schema()
    >>> schema["$defs"]["arguments_Conv3D"]["required"]
    ['filters', 'kernel_size']
    """
    classes = {signature.owner: signature.arguments for signature in (layer.signature for layer in LAYERS.values())}
    aliases = {owner: [name for name, layer in LAYERS.items() if layer.signature.owner == owner] for owner in classes}
    file_keys: dict[str, Any] = {
        "keras": {"enum": list(DIALECTS)},
        "weights": {"type": "string", "minLength": 1},
        "layers": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/layer"}},
    }
    for key, meaning in FILE_KEYS.items():
        file_keys[key]["description"] = meaning
    beside = {key: file_keys[key] for key in ("keras", "weights")}
    wrapped = {"anyOf": [{"$ref": f"#/$defs/wrapped_{owner}"} for owner in classes]}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d spec",
        "description": "Layers to apply to a volume: a list of layers, or the keys of one Conv3D",
        "type": "object",
        "if": {"required": ["layers"]},
        "then": _closed(file_keys, ["layers"]),
        "else": {
            "if": {"required": ["class_name"]},
            "then": {"anyOf": [_wrapper(owner, names, beside) for owner, names in aliases.items()]},
            "else": _closed(beside | _properties(ARGUMENTS), _required(ARGUMENTS)),
        },
        "$defs": {
            "layer": {
                "type": "object",
                "if": {"required": ["class_name"]},
                "then": wrapped,
                "else": {"$ref": "#/$defs/arguments_Conv3D"},
            },
            **{f"wrapped_{owner}": _wrapper(owner, names, {}) for owner, names in aliases.items()},
            **{f"arguments_{owner}": _arguments(arguments) for owner, arguments in classes.items()},
        },
    }
    return folded(whole)


def _properties(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    return {name: {**argument.schema, "description": argument.meaning} for name, argument in arguments.items()}


def _required(arguments: Mapping[str, Argument]) -> list[str]:
    return [name for name, argument in arguments.items() if argument.required]


def _arguments(arguments: Mapping[str, Argument]) -> dict[str, Any]:
    return _closed(_properties(arguments), _required(arguments))


def _wrapper(owner: str, names: list[str], beside: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of ``class_name`` with ``config``, and what may stand beside them."""
    keys: dict[str, Any] = {
        "class_name": {"enum": names},
        "config": {"$ref": f"#/$defs/arguments_{owner}"},
        "module": {"type": ["string", "null"]},
        "registered_name": {"type": ["string", "null"]},
    }
    described = {key: {**schema, "description": WRAPPER_KEYS[key]} for key, schema in keys.items()}
    return _closed({**beside, **described}, ["class_name", "config"])


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
