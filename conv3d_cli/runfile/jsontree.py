"""JSON to a tree of values that know their place, as a run file in YAML gives one."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.reader import MOST_DEPTH, Node

_BLANK = re.compile(r"[ \t\r\n]*")
_STRICT = json.JSONDecoder(parse_constant=lambda word: float(word.replace("Infinity", "inf")))


class JsonText:
    """A text in JSON; SpecError, by ``problems``, where it is none."""

    def __init__(self, text: str, problems: Problems) -> None:
        self.text, self.problems = text, problems
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self.start = _blank(text, 0)
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            problems.fail(Place(error.lineno, error.colno), f"not JSON: {error.msg}")
        except RecursionError:
            problems.fail(Place(1, 1), f"nested too deeply: expected at most {MOST_DEPTH} levels")

    def place(self, at: int) -> Place:
        """Return line and column of a position."""
        line = bisect_right(self._lines, at)
        return Place(line, at - self._lines[line - 1] + 1)

    def members(self, at: int) -> Iterator[tuple[str, int, int]]:
        """Yield the keys of the object at a position, with the positions of each key and of its value."""
        at = _blank(self.text, at + 1)
        while self.text[at] != "}":
            key, end = _STRICT.raw_decode(self.text, at)
            value = _blank(self.text, _blank(self.text, end) + 1)
            yield key, at, value
            at = self._next(value)

    def items(self, at: int) -> Iterator[int]:
        """Yield the positions of the values of the list at a position."""
        at = _blank(self.text, at + 1)
        while self.text[at] != "]":
            yield at
            at = self._next(at)

    def _next(self, value: int) -> int:
        _, end = _STRICT.raw_decode(self.text, value)
        end = _blank(self.text, end)
        return _blank(self.text, end + 1) if self.text[end] == "," else end

    def tree(self, at: int, depth: int = 1) -> Node:
        """Return the tree of the value at a position."""
        place = self.place(at)
        if depth > MOST_DEPTH:
            self.problems.fail(place, f"nested too deeply: got {depth} levels, expected at most {MOST_DEPTH}")
        if self.text[at] == "[":
            return Node([self.tree(item, depth + 1) for item in self.items(at)], place)
        if self.text[at] != "{":
            return Node(_STRICT.raw_decode(self.text, at)[0], place)
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for key, key_at, value_at in self.members(at):
            if key in values:
                self.problems.add(
                    self.place(key_at), f"repeated key {shown(key)}: expected it once, the first is at {keys[key]}"
                )
                continue
            values[key], keys[key] = self.tree(value_at, depth + 1), self.place(key_at)
        return Node(values, place, keys)


def _blank(text: str, at: int) -> int:
    found: Any = _BLANK.match(text, at)
    end: int = found.end()
    return end
