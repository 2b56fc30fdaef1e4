"""The inputs of a batch: files, folders, globs, a list on the standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from conv3d_cli.errors import UsageError, listed, quoted
from conv3d_cli.frozen import field, frozen
from conv3d_cli.volumes.formats import FORMATS, STREAM, format_of, path_of

SECOND_OF_A_PAIR = {".img": ".hdr", ".img.gz": ".hdr.gz"}


@frozen
class Found:
    """An input as it was found: its reference, and the folder in which it was looked for.

    A row of a manifest may name the ``output``, and has the ``words`` that it gives for options; ``place`` is its line.
    """

    source: str
    root: str = ""
    output: str | None = None
    words: dict[str, Any] = field(default_factory=dict)
    place: str = ""


def gather(given: Iterable[str], pattern: str | None, own: Callable[[str], bool]) -> list[Found]:
    """Return the inputs that the words of a command line mean, each once, in the order of the words.

    A folder stands for the volumes in it, or for those that ``pattern`` finds below it; a glob for the volumes that it
    matches. What is ``own``, an output of the batch, is no input when it is found so. Raises UsageError, a line for
    each word that means nothing.
    """
    found: dict[str, Found] = {}
    mistakes: list[str] = []
    for word in given:
        try:
            for one in _meant(word, pattern, own):
                found.setdefault(os.path.realpath(path_of(one.source)) + one.source[len(path_of(one.source)) :], one)
        except UsageError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UsageError(listed(mistakes))
    return list(found.values())


def _meant(word: str, pattern: str | None, own: Callable[[str], bool]) -> Iterator[Found]:
    if word == STREAM:
        yield from map(Found, _listed())
    elif word == "":
        raise UsageError("IN: got '', expected a file, a folder or a pattern")
    elif Path(word).is_dir():
        names = _volumes(_below(word, pattern), own)
        if not names:
            what = f"that match {pattern!r}" if pattern else f"with a suffix of {', '.join(SUFFIXES)}"
            dataset = "; --bids takes it for a dataset" if Path(word, "dataset_description.json").exists() else ""
            raise UsageError(f"{quoted(word)}: no volumes: expected some {what} in this folder{dataset}")
        yield from (Found(name, word) for name in names)
    elif glob.has_magic(word) and not os.path.lexists(path_of(word)):
        names = _volumes(glob.glob(word, recursive=True), own)  # noqa: PTH207 - keeps what was typed
        if not names:
            raise UsageError(f"{quoted(word)}: the pattern matches no volume")
        yield from (Found(name, _fixed(word)) for name in names)
    else:
        yield Found(word, str(Path(path_of(word)).parent))


SUFFIXES = tuple(suffix for row in FORMATS for suffix in row.suffixes)


def _below(folder: str, pattern: str | None) -> list[str]:
    root = glob.escape(folder)
    return glob.glob(os.path.join(root, pattern or "*"), recursive=True)  # noqa: PTH118, PTH207 - keeps what was typed


def _volumes(names: list[str], own: Callable[[str], bool]) -> list[str]:
    """Return, sorted, the names of files with a volume's suffix; of a pair its header."""
    kept = {name for name in names if format_of(name) and Path(name).is_file() and not own(name)}
    return sorted(name for name in kept if not _has_header(name))


def _has_header(name: str) -> bool:
    suffix = next((suffix for suffix in SECOND_OF_A_PAIR if name.lower().endswith(suffix)), None)
    return suffix is not None and os.path.lexists(name[: -len(suffix)] + SECOND_OF_A_PAIR[suffix])


def _fixed(word: str) -> str:
    """Return the folders of a pattern in front of its first part that is one."""
    parts = Path(word).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:fixed]))


def _listed() -> list[str]:
    """Return the names on the standard input: one a line, or with a NUL after each, as ``find -print0`` writes them."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'standard input': expected a list of files from a pipe or a file")
    text = os.fsdecode(sys.stdin.buffer.read())
    names = [name for name in (text.split("\0") if "\0" in text else text.splitlines()) if name.strip("\r\n")]
    if not names:
        raise UsageError("'standard input': the list is empty: expected names of volumes")
    return names
