"""The problems of one file, collected so that all of them are told at once."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from conv3d_cli.errors import SpecError, quoted

MOST_SHOWN = 20
LONGEST_VALUE = 60


class Place(NamedTuple):
    """Line and column in a file, both counted from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"

    def within(self, path: str) -> str:
        """Return the place as a message begins: the file, line and column."""
        return f"{quoted(path)[1:-1]}:{self}"


class Problems:
    """What is wrong with the file at ``path``, by place.

    >>> problems = Problems("edges.yaml")
    >>> problems.add(Place(3, 9), "filters: must be at least 1: got 0")
    >>> problems.add(Place(1, 8), "keras: only 2 is supported: got 3")
    >>> print(problems.error())
    edges.yaml:1:8: keras: only 2 is supported: got 3
    edges.yaml:3:9: filters: must be at least 1: got 0
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._found: dict[tuple[Place, str], None] = {}

    def add(self, place: Place, text: str) -> None:
        """Note one problem; the same one twice counts once."""
        self._found[place, " ".join(text.split("\n"))] = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def error(self) -> SpecError:
        """Return the error that tells every problem in the order of the file."""
        name = quoted(self.path)[1:-1]
        lines = [f"{place.within(self.path)}: {text}" for place, text in sorted(self._found)]
        if len(lines) > MOST_SHOWN:
            lines[MOST_SHOWN:] = [f"{name}: {len(lines) - MOST_SHOWN} more problems"]
        return SpecError(lines)

    def fail(self, place: Place, text: str) -> NoReturn:
        """Note one problem, and raise SpecError with all found so far: nothing more can be known."""
        self.add(place, text)
        raise self.error()

    def raise_any(self) -> None:
        """Raise SpecError if anything is wrong."""
        if self:
            raise self.error()


def shown(value: object) -> str:
    """Return a value for a message: one line, cut where it is long.

    >>> shown([3, 3, 3])
    '[3, 3, 3]'
    """
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
