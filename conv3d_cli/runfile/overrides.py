"""``--set layers.0.padding=same``: a value put into the tree of a run file, with errors that name the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from conv3d_cli.errors import UsageError, nearest
from conv3d_cli.frozen import replace
from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.reader import Node, parse
from conv3d_cli.spec.scalars import read_scalar

AFTER_THE_FILE = 1 << 30
"""Lines above which what is wrong with overrides is told after what is wrong in the file."""


class Given(Place):
    """The place of a value that stands on the command line."""

    path: str

    @classmethod
    def at(cls, number: int, path: str) -> Given:
        """Return the place of override ``number``, which sets ``path``."""
        place = cls(AFTER_THE_FILE + number, 0)
        place.path = path
        return place

    def __str__(self) -> str:
        return f"--set {self.path}"

    def within(self, path: str) -> str:
        """Return the place as a message begins: the words of the command line."""
        return str(self)


class Override(NamedTuple):
    """One ``--set``."""

    place: Given
    steps: tuple[str, ...]
    value: Node


def read_overrides(texts: Sequence[str], problems: Problems) -> list[Override]:
    """Return what ``PATH=VALUE`` texts mean; UsageError for a text that is no such thing."""
    return [_override(number, text, problems) for number, text in enumerate(texts)]


def _override(number: int, text: str, problems: Problems) -> Override:
    path, equals, word = text.partition("=")
    steps = tuple(path.split("."))
    if not equals or not all(steps):
        raise UsageError(f"--set: got {text!r}, expected PATH=VALUE, such as layers.0.padding=same")
    place = Given.at(number, path)
    return Override(place, steps, _value(word, place, steps[-1], problems))


def _value(word: str, place: Given, key: str, problems: Problems) -> Node:
    """Return a word as YAML reads it: a list or a mapping in brackets, a text in quotes, or a plain scalar."""
    from yaml import SafeLoader, ScalarNode

    if word[:1] in ("[", '"', "'") or (word[:1] == "{" and word[-1:] == "}"):
        inside = Problems("")
        try:
            node = parse(word.encode("utf-8", "surrogateescape"), inside)
            inside.raise_any()
        except ValueError as error:
            problems.add(place, f"{key}: {str(error).partition(': ')[2] or error}")
            return Node(None, place, never="told")
        return _all_at(node, place)
    tag = SafeLoader("").resolve(ScalarNode, word, (True, False))  # type: ignore[no-untyped-call]
    scalar = read_scalar(ScalarNode(tag, word))
    if scalar.never:
        problems.add(place, f"{key}: {scalar.never}")
    return Node(scalar.value, place, never=scalar.never, hint=scalar.hint)


def _all_at(node: Node, place: Given) -> Node:
    if isinstance(node.value, dict):
        inside = {key: _all_at(item, place) for key, item in node.value.items()}
        return replace(node, value=inside, place=place, keys=dict.fromkeys(inside, place))
    value = [_all_at(item, place) for item in node.value] if isinstance(node.value, list) else node.value
    return replace(node, value=value, place=place)


def overridden(root: Node, overrides: Sequence[Override], problems: Problems) -> Node:
    """Return the tree with the values put in; a path that leads nowhere goes to ``problems``."""
    for override in overrides:
        root = _put(root, override, 0, problems)
    return root


def _put(node: Node, override: Override, depth: int, problems: Problems) -> Node:
    """Return a node with the value put in below it."""
    place, steps, value = override
    step, last = steps[depth], depth == len(steps) - 1
    if isinstance(node.value, dict):
        if last:
            return replace(node, value={**node.value, step: value}, keys={**node.keys, step: place})
        if step not in node.value:
            problems.add(place, _nothing(steps, depth, node.value))
            return node
        inside = _put(node.value[step], override, depth + 1, problems)
        return replace(node, value={**node.value, step: inside})
    if isinstance(node.value, list):
        if not step.isdecimal() or int(step) >= len(node.value):
            problems.add(place, _nothing(steps, depth, [str(i) for i in range(len(node.value))]))
            return node
        items = list(node.value)
        items[int(step)] = value if last else _put(items[int(step)], override, depth + 1, problems)
        return replace(node, value=items)
    before = ".".join(steps[:depth])
    problems.add(place, f"no such path: {before} is {shown(node.value)}, which has nothing inside")
    return node


def _nothing(steps: Sequence[str], depth: int, there: Sequence[str] | dict[str, Node]) -> str:
    where = ".".join(steps[:depth]) or "the file"
    known = ", ".join(there) or "nothing"
    return f"no such path: {where} has no {steps[depth]!r}, expected one of {known}{nearest(steps[depth], there)}"
