"""The keys of a run file. They are made from the options of the commands, and listed nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conv3d_cli.frozen import frozen
from conv3d_cli.kinds import Kind
from conv3d_cli.spec.forms import FILE_KEYS

BATCH = "batch"
"""The section that makes a run one of many volumes, with the keys that only such a run has."""

OF_SPEC = tuple(key for key in FILE_KEYS if key != "weights")
"""Keys of a spec whose layers stand in the run file itself; weights are named as for any other layers."""


@frozen
class Key:
    """A key of a run file and what it stands for.

    ``word`` is that of the commands of ``owners``, and ``option`` how the command line has it, or "" for an argument.
    ``kind`` says what may stand in the file; ``convert`` makes of it what the command line would have made, and raises
    UsageError.
    """

    name: str
    word: str
    option: str
    owners: frozenset[str]
    kind: Kind
    meaning: str
    convert: Callable[[Any], Any]
    path: bool = False
    several: bool = False
    choices: tuple[str, ...] = ()
    section: str = ""

    @property
    def dotted(self) -> str:
        """The key with its section, as ``--set`` has it."""
        return f"{self.section}.{self.name}" if self.section else self.name


class Keys:
    """All keys, by their sections, words and options.

    ``defaults`` returns the words of a command of which nothing is said, from the environment where it says something.
    """

    def __init__(self, keys: Iterable[Key], defaults: Callable[[str], Mapping[str, Any]]) -> None:
        self.all = tuple(keys)
        self.defaults = defaults
        self._by_option = {key.option: key for key in self.all if key.option}

    def of(self, section: str) -> Mapping[str, Key]:
        """Return the keys of a section, "" for the file itself, by name."""
        return {key.name: key for key in self.all if key.section == section}

    def owned(self, command: str) -> Mapping[str, Key]:
        """Return the keys of a command by word."""
        return {key.word: key for key in self.all if command in key.owners}

    def about(self, message: str) -> Key | None:
        """Return the key that a message of the command line is about, by the option or the name that it begins with."""
        head, colon, _ = message.partition(":")
        named = next((key for key in self.all if key.name == head), None)
        return self._by_option.get(head, named) if colon else None

    def renamed(self, message: str) -> str:
        """Return a message of the command line with the keys in place of the options that it names."""

        def key_of(found: re.Match[str]) -> str:
            key = self._by_option.get(found[0])
            return key.dotted if key else found[0]

        return re.sub(r"(?<![\w-])--[a-z][a-z-]*", key_of, message)
