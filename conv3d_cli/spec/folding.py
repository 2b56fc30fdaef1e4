"""A JSON Schema made shorter: what stands in it more than once stands once, and is referred to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

MAPPINGS = ("properties", "$defs")
LISTS = ("anyOf",)
SINGLE = ("items", "if", "then", "else", "additionalProperties")
"""Keys whose values are schemas: a mapping of them, a list of them, or one."""

SHORTEST = 200
"""Length of JSON text from which a repeated part is worth a reference."""


def folded(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an equivalent schema whose repeated parts are definitions ``part_0``, ``part_1``, ...

    >>> part = {"enum": ["a name that is long"] * 20}
    >>> folded({"anyOf": [part, {"items": part}]})["anyOf"]
    [{'$ref': '#/$defs/part_0'}, {'items': {'$ref': '#/$defs/part_0'}}]
    """
    counted = Counter(_text(node) for node in _schemas(schema))
    repeated = [text for text, count in counted.items() if count > 1 and len(text) >= SHORTEST]
    names = {text: f"part_{number}" for number, text in enumerate(repeated)}
    parts: dict[str, Any] = {}

    def fold(node: dict[str, Any]) -> dict[str, Any]:
        name = names.get(_text(node))
        if name is None:
            return _through(node, fold)
        if name not in parts:
            parts[name] = _through(node, fold)
        return {"$ref": f"#/$defs/{name}"}

    shorter = _through(schema, fold)
    return {**shorter, "$defs": {**shorter.get("$defs", {}), **parts}}


def _through(node: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return a schema with each of the schemas directly in it changed; other values are left as they are."""
    result = dict(node)
    for key, value in node.items():
        if key in MAPPINGS:
            result[key] = {name: change(part) for name, part in value.items()}
        elif key in LISTS:
            result[key] = [change(part) for part in value]
        elif key in SINGLE and isinstance(value, dict):
            result[key] = change(value)
    return result


def _schemas(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema and all schemas in it."""
    inside: list[dict[str, Any]] = []
    _through(node, inside.append)
    yield node
    for part in inside:
        yield from _schemas(part)


def _text(node: Any) -> str:
    return json.dumps(node, sort_keys=True)
