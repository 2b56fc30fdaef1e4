"""A table of volumes: CSV, TSV or JSON, a row for each, with options of its own.

Every mistake is told, with its line, before anything is done: an unknown column, a missing cell, a value that the
option does not take. An empty cell, n/a, or a key that is not there, leaves the option as the command line has it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from conv3d_cli.batch.items import Found
from conv3d_cli.errors import Conv3dError, InputError, listed, nearest, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.volumes.formats import path_of

EMPTY = ("", "n/a")
"""Cells without a value; n/a is BIDS's word for it."""

INPUT, OUTPUT = "input", "output"
SEVERAL = "|"
_SPACE = re.compile(r"\s*")


@frozen
class Option:
    """An option that a row may give: the word of ``apply`` that it is, and how a text becomes its value.

    ``read`` raises Conv3dError for a text that is none. A ``path`` is relative to the folder of the manifest; of an
    option that can be given ``several`` times, a cell of CSV has all, with ``|`` between them.
    """

    word: str
    read: Callable[[Any], Any]
    path: bool = False
    several: bool = False
    flag: bool = False


Row: TypeAlias = "tuple[int, Mapping[str, Any]]"


def read_manifest(path: str, options: Mapping[str, Option]) -> list[Found]:
    """Return the inputs of a manifest, whose paths are relative to its folder, with the words that their rows give.

    ``options`` are the columns beside ``input`` and ``output``. Raises InputError, a line for each mistake.
    """
    reader = READERS.get(PurePath(path).suffix.lower())
    if reader is None:
        raise InputError(f"{quoted(path)}: not a manifest: the suffix is none of {', '.join(READERS)}")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{quoted(path)}: the manifest cannot be read: {error}") from None
    found, mistakes = [], []
    try:
        for line, row in reader(text, [INPUT, OUTPUT, *options]):
            place = f"{quoted(path)[1:-1]}:{line}: "
            try:
                found.append(_found(row, options, place, str(PurePath(path).parent)))
            except InputError as error:
                mistakes += [place + words for words in str(error).splitlines()]
    except json.JSONDecodeError as error:
        mistakes.append(f"{quoted(path)[1:-1]}:{error.lineno}:{error.colno}: not JSON: {error.msg}")
    except _Wrong as error:
        mistakes.append(f"{quoted(path)[1:-1]}:{error.line}: {error}")
    if not found and not mistakes:
        mistakes.append(f"{quoted(path)}: the manifest is empty: expected a row for each volume")
    if mistakes:
        raise InputError(listed(mistakes))
    return found


class _Wrong(Exception):  # noqa: N818 - what a line is
    """A table that cannot be read on."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(words)
        self.line = line


def _found(row: Mapping[str, Any], options: Mapping[str, Option], place: str, folder: str) -> Found:
    """Return what a row says; InputError, a line for each mistake in it."""
    mistakes: list[str] = []
    words: dict[str, Any] = {}
    names: dict[str, str] = {}
    for column, value in row.items():
        try:
            if column in (INPUT, OUTPUT):
                names[column] = _text(column, value)
            elif column in options:
                option = options[column]
                words[option.word] = _value(column, option, value, folder)
            else:
                mistakes.append(_unknown(column, [INPUT, OUTPUT, *options]))
        except Conv3dError as error:
            mistakes += str(error).splitlines()
    if INPUT not in row:
        mistakes.append(f"{INPUT}: missing: expected the name of a volume")
    if mistakes:
        raise InputError(listed(mistakes))
    source = str(PurePath(folder, names[INPUT]))
    return Found(source, str(PurePath(path_of(source)).parent), names.get(OUTPUT), words, place)


def _unknown(column: str, known: Sequence[str]) -> str:
    return f"unknown column: got {column!r}, expected some of {', '.join(known)}{nearest(column, known)}"


def _text(column: str, value: Any) -> str:
    if not isinstance(value, str) or value in EMPTY:
        raise InputError(f"{column}: got {value!r}, expected the name of a file")
    return value


def _value(column: str, option: Option, value: Any, folder: str) -> Any:
    """Return the value that a cell gives an option."""
    several = value if isinstance(value, list) else [value]
    if option.several and isinstance(value, str):
        several = [part.strip() for part in value.split(SEVERAL)]
    elif isinstance(value, list) and not option.several:
        raise InputError(f"{column}: got a list, expected one value")
    if not all(isinstance(one, (str, int, float)) for one in several):
        raise InputError(f"{column}: got {json.dumps(value)}, expected a text or a number")
    if option.flag and not (isinstance(value, bool) or value in FLAGS):
        raise InputError(f"{column}: got {value!r}, expected true or false")
    texts = [json.dumps(one) if isinstance(one, bool) else str(one) for one in several]
    read = option.read(tuple(texts) if option.several else texts[0])
    return str(PurePath(folder, read)) if option.path else read


FLAGS = ("true", "false")


def _table(text: str, known: Sequence[str], delimiter: str) -> Iterator[Row]:
    """Yield the rows of CSV with their values; columns are those ``known``."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    line = 0
    try:
        for cells in reader:
            first, line = line + 1, reader.line_num
            if not any(cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                if repeated := {name for name in columns if columns.count(name) > 1}:
                    raise _Wrong(first, f"repeated column {sorted(repeated)[0]!r}: expected each once")
                if INPUT not in columns:
                    raise _Wrong(first, f"no column {INPUT!r}: got {', '.join(columns)}")
                if unknown := [_unknown(name, known) for name in columns if name not in known]:
                    raise _Wrong(first, "; ".join(unknown))
                continue
            if len(cells) != len(columns):
                raise _Wrong(first, f"got {len(cells)} cells, expected {len(columns)}, as the first line has columns")
            pairs = zip(columns, (cell.strip() for cell in cells), strict=True)
            yield first, {column: cell for column, cell in pairs if cell not in EMPTY}
    except csv.Error as error:
        raise _Wrong(line + 1, f"not a table: {error}") from None


def _objects(text: str, known: Sequence[str]) -> Iterator[Row]:
    """Yield the objects of a JSON list, each with the line that it begins in."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
    at = _expected(text, 0, "[")
    line, counted = 1, 0
    if text.startswith("]", _blank(text, at)):
        return
    while True:
        at = _blank(text, at)
        line, counted = line + text.count("\n", counted, at), at
        try:
            row, at = decoder.raw_decode(text, at)
        except _Repeated as error:
            raise _Wrong(line, str(error)) from None
        if not isinstance(row, dict):
            raise _Wrong(line, f"got {json.dumps(row)[:60]}, expected an object with {INPUT!r}")
        yield line, row
        if text.startswith(",", _blank(text, at)):
            at = _blank(text, at) + 1
            continue
        end = _blank(text, _expected(text, at, "]"))
        if end != len(text):
            raise json.JSONDecodeError("something follows the list", text, end)
        return


class _Repeated(ValueError):  # noqa: N818 - what a key is
    """What no object of a manifest may have."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise _Repeated("a repeated key: expected each once")
    return row


def _no_number(word: str) -> None:
    raise _Repeated(f"got {word}, expected a number")


def _blank(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expected(text: str, at: int, letter: str) -> int:
    """Return the position behind a letter that must come next."""
    at = _blank(text, at)
    if not text.startswith(letter, at):
        raise json.JSONDecodeError(f"expected {letter!r}", text, at)
    return at + 1


READERS: dict[str, Callable[[str, Sequence[str]], Iterator[Row]]] = {
    ".csv": partial(_table, delimiter=","),
    ".tsv": partial(_table, delimiter="\t"),
    ".json": _objects,
}
