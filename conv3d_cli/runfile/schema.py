"""The JSON Schema of a run file, from the table of its keys and the schema of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conv3d_cli.runfile.keys import BATCH, OF_SPEC, Key, Keys
from conv3d_cli.spec.forms import FILE_KEYS
from conv3d_cli.spec.schema import json_schema


def run_schema(keys: Keys) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that every accepted run file satisfies.

    Rules between keys, and the places of errors, are those of `read_run`.
    """
    spec = json_schema()
    layered = spec["then"]["properties"]
    return {
        "$schema": spec["$schema"],
        "title": "conv3d run file",
        "description": "A run of one volume, or with `batch` of many, as `conv3d run` does it",
        "type": "object",
        "properties": {
            **_properties(keys.of("")),
            **{name: {**layered[name], "description": FILE_KEYS[name]} for name in OF_SPEC},
            BATCH: {
                "description": "makes it a run of many volumes",
                "type": ["object", "null"],
                "properties": _properties(keys.of(BATCH)),
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
        "$defs": spec["$defs"],
    }


def _properties(keys: Mapping[str, Key]) -> dict[str, Any]:
    return {name: {**_value(key), "description": key.meaning} for name, key in keys.items()}


def _value(key: Key) -> dict[str, Any]:
    """Return the schema of what may stand behind a key; null is the same as no key."""
    several = [{"type": "array", "items": key.kind.schema}] if key.several else []
    return {"anyOf": [key.kind.schema, *several, {"type": "null"}]}
