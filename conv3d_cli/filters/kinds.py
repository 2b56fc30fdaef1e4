"""The kinds of values that filters take, each also as a word of the command line."""

from __future__ import annotations

import re
from typing import Any

from conv3d_cli.kinds import NUMBER, Kind, RefusedError
from conv3d_cli.lengths import Length

_NUMBER = r"[-+]?[0-9.]+(e[-+]?[0-9]+)?"


def _length(value: Any) -> Length:
    if isinstance(value, Length):
        return value
    try:
        if isinstance(value, str):
            return Length.parse(value)
        if isinstance(value, (list, tuple)):
            return Length.parse("x".join(map(str, value)))
        number = NUMBER.parse(value)
        if number < 0:
            raise RefusedError("below 0")
        return Length((number,) * 3, (None,) * 3)
    except ValueError as error:
        raise RefusedError(str(error)) from None


def _positive_length(value: Any) -> Length:
    length = _length(value)
    if min(length.values) <= 0:
        raise RefusedError("not above 0")
    return length


def _numbers(value: Any) -> tuple[float, float, float]:
    """Return three numbers of ``1x0x0``, of a list, or of one number for all."""
    items = value.split("x") if isinstance(value, str) else value
    if isinstance(items, list) and all(isinstance(item, str) and re.fullmatch(_NUMBER, item) for item in items):
        items = [float(item) for item in items]
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    if len(items) not in (1, 3):
        raise RefusedError(f"has {len(items)} values")
    a, b, c = (NUMBER.parse(item) for item in (items * 3 if len(items) == 1 else items))
    return a, b, c


def _orders(value: Any) -> tuple[int, int, int]:
    numbers = _numbers(value)
    if any(number != int(number) or not 0 <= number <= MOST_ORDER for number in numbers):
        raise RefusedError(f"not whole numbers from 0 to {MOST_ORDER}")
    a, b, c = (int(number) for number in numbers)
    return a, b, c


def _direction(value: Any) -> tuple[float, float, float]:
    numbers = _numbers(value)
    if not any(numbers):
        raise RefusedError("has no direction")
    return numbers


MOST_ORDER = 4
"""Highest derivative along an axis: beyond, its polynomial loses the digits that it would need."""

_LENGTH_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9.]+", "examples": ["6mm", "2vox", "1x1x2mm"]},
        {"type": "number", "minimum": 0},
        {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 3, "maxItems": 3},
    ]
}
_THREE_SCHEMA = {
    "anyOf": [
        {"type": ["number", "string"]},
        {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    ]
}

LENGTH = Kind("a length such as 6mm, 2vox or 1x1x2mm", _length, _LENGTH_SCHEMA)
POSITIVE_LENGTH = Kind("a length above 0 such as 6mm, 2vox or 1x1x2mm", _positive_length, _LENGTH_SCHEMA)
ORDERS = Kind("a whole number, or three for x, y and z such as 1x0x0", _orders, _THREE_SCHEMA)
DIRECTION = Kind("three numbers for x, y and z such as 1x0x0", _direction, _THREE_SCHEMA)
