"""The JSON Schema of a spec, for editors and other tools, composed from the table of Conv3D's arguments."""

from __future__ import annotations

from typing import Any

from conv3d_cli.layers.arguments import ARGUMENTS, DIALECTS
from conv3d_cli.spec.forms import CLASS_NAMES, FILE_KEYS, WRAPPER_KEYS

required = ["filters", "kernel_size"]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every accepted spec satisfies.

    It holds what a schema can say: names, types, ranges. Rules between arguments, and the places of errors,
    are those of `load_spec`.

    >>> schema = json_schema()
    >>> schema["$defs"]["arguments"]["required"]
    ['filters', 'kernel_size']
    """
    arguments = {name: {**argument.schema, "description": argument.meaning} for name, argument in ARGUMENTS.items()}
    required = [name for name, argument in ARGUMENTS.items() if argument.required]
    file_keys: dict[str, Any] = {
        "keras": {"enum": list(DIALECTS)},
        "weights": {"type": "string", "minLength": 1},
        "layers": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/layer"}},
    }
    for key, meaning in FILE_KEYS.items():
        file_keys[key]["description"] = meaning
    beside = {key: file_keys[key] for key in ("keras", "weights")}
    wrapper = {
        "class_name": {"enum": list(CLASS_NAMES), "description": WRAPPER_KEYS["class_name"]},
        "config": {"$ref": "#/$defs/arguments"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d spec",
        "description": "Conv3D layers to apply to a volume: a list of layers, or the keys of one",
        "type": "object",
        "if": {"required": ["layers"]},
        "then": _closed(file_keys, ["layers"]),
        "else": {
            "if": {"required": ["class_name"]},
            "then": _closed(beside | wrapper, list(wrapper)),
            "else": _closed(beside | arguments, required),
        },
        "$defs": {
            "arguments": _closed(arguments, required),
            "layer": {
                "type": "object",
                "if": {"required": ["class_name"]},
                "then": _closed(wrapper, list(wrapper)),
                "else": {"$ref": "#/$defs/arguments"},
            },
        },
    }


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
