"""What a report says of a run so that it can be done again: the run file of it, from the words of a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from conv3d_cli.filters import Filter
from conv3d_cli.runfile.keys import Key, Keys
from conv3d_cli.runfile.values import placed, placed_filter
from conv3d_cli.spec.inline import InlineSpec, with_files

LEFT_OUT = frozenset({"report", "overwrite", "dry_run", "print_slurm", "json", "quiet", "verbose", "log_file"})
"""Keys about what a run tells, and where, and about replacing files: these are up to who repeats it."""


def run_section(words: Mapping[str, Any], keys: Keys, command: str) -> dict[str, Any]:
    """Return the run file that does what the words of a command say, from any folder: its paths are absolute.

    Defaults stand in it too, so that the run stays what it was where they change.
    """
    here = os.getcwd()  # noqa: PTH109 - joined to what was typed
    document: dict[str, Any] = {}
    for word, key in keys.owned(command).items():
        value = words.get(word)
        if key.name in LEFT_OUT or value is None or (key.several and not value):
            continue
        where = document.setdefault(key.section, {}) if key.section else document
        where[key.name] = [_plain(item, key, here) for item in value] if key.several else _plain(value, key, here)
    inline: InlineSpec | None = words.get("layers")
    if inline is not None:
        folder = os.path.join(here, os.path.dirname(inline.path))  # noqa: PTH118, PTH120 - as above
        document |= with_files(inline.plain, lambda name: placed(name, folder))
    return document


def _plain(value: Any, key: Key, here: str) -> Any:
    """Return a word as a run file has it."""
    if isinstance(value, Filter):
        return placed_filter(value, here).text
    if isinstance(value, tuple):  # one part of several, as 1/8
        return "/".join(map(str, value))
    return placed(value, here) if key.path else value
