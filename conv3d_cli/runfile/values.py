"""The value of a key, from the tree of a run file to what the command line would have made of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import LayerError, UsageError, nearest
from conv3d_cli.filters import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conv3d_cli.runfile.keys import Key, Keys
    from conv3d_cli.spec.problems import Problems
    from conv3d_cli.spec.reader import Node

STREAM = "-"


def is_given(node: Node) -> bool:
    """Return whether anything is said: an explicit null is the same as no key at all."""
    return node.value is not None or node.hint is not None or node.never is not None


def read_values(keys: Mapping[str, Key], node: Node, table: Keys, problems: Problems) -> dict[str, Any]:
    """Return the words that the known keys of a mapping give; what is wrong with them goes to ``problems``."""
    reader = _Reader(table, problems)
    words = {}
    for name, value in node.value.items():
        if name in keys and is_given(value):
            words[keys[name].word] = reader.value(keys[name], value)
    return words


class _Reader:
    def __init__(self, table: Keys, problems: Problems) -> None:
        self.table, self.problems = table, problems
        self.folder = os.path.dirname(problems.path)  # noqa: PTH120 - keeps what was typed

    def value(self, key: Key, node: Node) -> Any:
        """Return the word, or None where something is wrong with it."""
        if key.several and isinstance(node.value, list):
            found = [self._one(key, item) for item in node.value]
        else:
            found = [self._one(key, node)]
        if not key.several:
            return found[0]
        return [value for values in found for value in values or ()]

    def _one(self, key: Key, node: Node) -> Any:
        if node.never:
            return None  # which was told as it was read
        try:
            value = key.kind.read(key.name, node.plain())
        except LayerError as error:
            close = nearest(str(node.value), key.choices) if isinstance(node.value, str) else ""
            self.problems.add(node.place, f"{error}{close}" + (f" ({node.hint})" if node.hint else ""))
            return None
        try:
            read = key.convert(placed(value, self.folder) if key.path else value)
        except UsageError as error:
            self.problems.add(node.place, self.table.renamed(str(error)))
            return None
        return [_placed_filter(item, self.folder) for item in read] if key.several else read


def placed(name: str, folder: str) -> str:
    """Return a file's name that is relative to a folder; a stream stays one, and what is empty stays so.

    >>> placed("scan.npy", "/data"), placed("/a.npy", "/data"), placed("-", "/data")
    ('/data/scan.npy', '/a.npy', '-')
    """
    return name if name in ("", STREAM) else os.path.join(folder, name)  # noqa: PTH118 - keeps what was typed


def placed_filter(item: Filter, folder: str) -> Filter:
    """Return a filter whose file is relative to a folder."""
    return item.with_file(lambda name: placed(name, folder))


def _placed_filter(item: Any, folder: str) -> Any:
    return placed_filter(item, folder) if isinstance(item, Filter) else item
