"""What a batch knows of each of its outputs, in a file of JSON each, below ``.conv3d/records`` in the outputs' folder.

A record is written before an output can appear, as ``started``, and again when the output is there, as ``done``, or
when it is not, as ``failed``. So an output without a record was never this batch's, and one that is only ``started``
is the leaving of a batch that was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conv3d_cli.batch.naming import STATE_FOLDER, Item
from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.frozen import field, frozen
from conv3d_cli.outfile import replacing

RECORD = "conv3d-item"
VERSION = 1
STARTED, DONE, FAILED = STATES = ("started", "done", "failed")

Mark = list[int]


@frozen
class Content:
    """Files as they were: their names, their SHA-256 one after the other, and a mark of each.

    A mark is size, time of modification, time of change and inode: cheap to look at, and different whenever somebody
    wrote to the file, unless that was within one tick of the clock.
    """

    names: list[str]
    sha256: str
    marks: list[Mark]


@frozen
class Record:
    """What is known of an output; ``made_from`` is what it depends on beside the input.

    ``left`` says of a failed item that an earlier output of the batch is still there. ``noted`` is when the record was
    written, by the clock that also marks its neighbours, in nanoseconds.
    """

    state: str
    source: str
    made_from: Mapping[str, str]
    input: Content | None = None
    output: Content | None = None
    error: str | None = None
    code: int = 0
    left: bool = False
    noted: int = field(default=0, compare=False)


class Damaged(Exception):  # noqa: N818 - what a record is
    """A record that cannot be read."""


def record_path(folder: str, name: str) -> Path:
    """Return where the record of an output lies."""
    return Path(folder, STATE_FOLDER, "records", name + ".json")


def read_record(folder: str, name: str) -> Record | None:
    """Return what is known of an output, None if nothing is; raises Damaged if it cannot be told."""
    path = record_path(folder, name)
    try:
        text = path.read_bytes()
        noted = path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(error.strerror) from error
    try:
        return _record(json.loads(text), noted)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Damaged(f"it is no record: {error}") from error


def was_started(folder: str, name: str) -> bool:
    """Return whether an output was begun and not finished: what is there of it is the batch's."""
    with suppress(Damaged):
        record = read_record(folder, name)
        return record is not None and record.state == STARTED
    return True


def write_record(folder: str, name: str, record: Record) -> None:
    """Write what is known of an output. OutputError if that cannot be."""
    path = record_path(folder, name)
    make_folder(path.parent)
    document = {"record": RECORD, "version": VERSION, **asdict(record)}
    del document["noted"]
    with replacing(path, overwrite=True) as file:
        file.write(json.dumps(document, indent=1).encode())


def make_folder(path: Path) -> None:
    """Make a folder and those above it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{quoted(path)}: cannot be made: {error.strerror}") from None


def known_outputs(folder: str) -> Iterator[str]:
    """Yield the name of every output that there is a record of."""
    root = Path(folder, STATE_FOLDER, "records")
    for path in root.rglob("*.json"):
        yield str(path.relative_to(root))[: -len(".json")]


def files_there(item: Item) -> Sequence[str]:
    """Return those files that an item would write and that are there already."""
    return [path for path in (*item.files, item.sidecar) if os.path.lexists(path)]


def mark(name: str) -> Mark:
    """Return the mark of a file; raises OSError."""
    status = Path(name).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def marks_of(names: Sequence[str]) -> list[Mark] | None:
    """Return the marks of files, or None if one cannot be looked at."""
    with suppress(OSError, ValueError):
        return [mark(name) for name in names]
    return None


def _record(document: Any, noted: int) -> Record:
    if not isinstance(document, dict) or document.pop("record") != RECORD or document.pop("version") != VERSION:
        raise ValueError("another kind or version")
    document["input"], document["output"] = _content(document["input"]), _content(document["output"])
    record = Record(**document, noted=noted)
    if not isinstance(record.made_from, dict):
        raise ValueError("made from what is no list of names")
    texts = [record.state, record.source, *record.made_from, *record.made_from.values()]
    if record.state not in STATES or not all(isinstance(text, str) for text in texts):
        raise ValueError("a value that none has")
    if record.state == DONE and (record.input is None or record.output is None):
        raise ValueError("done, and of nothing")
    return record


def _content(document: Any) -> Content | None:
    if document is None:
        return None
    content = Content(**document)
    numbers = [
        number for size, modified, changed, inode in content.marks for number in (size, modified, changed, inode)
    ]
    if not all(isinstance(text, str) for text in [content.sha256, *content.names]):
        raise ValueError("a name that is none")
    if not all(isinstance(number, int) for number in numbers) or len(content.marks) != len(content.names):
        raise ValueError("a mark that is none")
    return content
