"""JSON of a model file, from bytes: strict UTF-8, no key twice, bounded in size, depth and digits; nothing is run."""

from __future__ import annotations

import json
import re
from typing import Any

from conv3d_cli.errors import SpecError, quoted

MOST_BYTES = 16 << 20
#: A model nested in another adds about four levels.
MOST_DEPTH = 200
MOST_DIGITS = 40

_HEAD = re.compile(
    rb'(?:\xef\xbb\xbf)?\s*\{\s*(?:"module"\s*:\s*"[^"]*"\s*,\s*)?"class_name"\s*:\s*"(?:Sequential|Functional|Model)"'
)


class _RefusedError(ValueError):
    """What the text says is refused, though JSON might allow it."""


def read_json(data: bytes, path: str, what: str = "the model") -> Any:
    """Return the value of a JSON text; SpecError, naming file and place, unless it is one that a model file can hold.

    >>> read_json(b'{"class_name": "Sequential"}', "model.json")
    {'class_name': 'Sequential'}
    >>> read_json(b'{"a": 1, "a": 2}', "model.json")
    Traceback (most recent call last):
    conv3d_cli.errors.SpecError: 'model.json': the model cannot be used: repeated key 'a': expected each key once
    """
    if len(data) > MOST_BYTES:
        raise SpecError([f"{quoted(path)}: {what} is too large: got over {MOST_BYTES} bytes of JSON, expected at most"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(
            [f"{quoted(path)}: {what} is not UTF-8: got byte 0x{data[error.start]:02x} at {error.start}"]
        ) from None
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_int=_whole)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SpecError([f"{quoted(path)}: {what} is not JSON: {error.msg} at {place}"]) from None
    except RecursionError:
        raise SpecError([_too_deep(path, what)]) from None
    except _RefusedError as error:
        raise SpecError([f"{quoted(path)}: {what} cannot be used: {error}"]) from None
    if _deeper(value, MOST_DEPTH):
        raise SpecError([_too_deep(path, what)])
    return value


def is_model_json(data: bytes) -> bool:
    """Return whether a JSON text is a model as ``to_json`` of Keras 2 or 3 writes it, and not a spec of this program.

    >>> is_model_json(b'{"class_name": "Sequential", "config": {"layers": []}}')
    True
    >>> is_model_json(b'{"class_name": "Conv3D", "config": {"filters": 8, "kernel_size": 3}}')
    False
    """
    if _HEAD.match(data):
        return True
    try:
        value = read_json(data, "")
    except SpecError:
        return False
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return False
    config = value.get("config")
    named = value["class_name"] in ("Sequential", "Functional", "Model")
    return named or (isinstance(config, dict) and isinstance(config.get("layers"), list))


def _too_deep(path: str, what: str) -> str:
    return f"{quoted(path)}: {what} is nested too deeply: expected at most {MOST_DEPTH} levels of JSON"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"repeated key {quoted(twice[:60])}: expected each key once")
    return found


def _whole(digits: str) -> int:
    # Python 3.10 takes quadratic time for a number of a million digits.
    if len(digits) > MOST_DIGITS:
        raise _RefusedError(f"a number of {len(digits)} digits: expected at most {MOST_DIGITS}")
    return int(digits)


def _deeper(value: Any, most: int) -> bool:
    """Return whether lists and mappings stand deeper than allowed; level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(most):
        level = (
            [
                inner
                for outer in level
                for inner in (outer.values() if isinstance(outer, dict) else outer)
                if isinstance(inner, (dict, list))
            ]
            if isinstance(value, (dict, list))
            else []
        )
        if not level:
            return False
    return True
