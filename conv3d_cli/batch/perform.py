"""What a worker does for one item: the output, its sidecar, and the record of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from conv3d_cli.batch.naming import Item
from conv3d_cli.batch.records import DONE, STARTED, Content, Record, make_folder, marks_of, write_record
from conv3d_cli.errors import OutputError, VolumeError, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.volumes import files_of, sha256_of_files

Words = dict[str, Any]


@frozen
class Job:
    """An item to be made in a folder: what it is made from, whether it may replace files, the command that it equals.

    ``number`` counts the items of the batch, ``attempt`` the tries of this one, both from 1.
    """

    number: int
    item: Item
    folder: str
    made_from: Mapping[str, str]
    overwrite: bool
    why: str
    command: tuple[str, ...]
    attempt: int = 1


class Talk(Protocol):
    """Whom a worker tells of its work."""

    def planned(self, peak_bytes: int, seconds: float) -> None:
        """Tell what the work needs, and wait until it may begin."""

    def tick(self, share: float) -> None:
        """Tell what share of the work is done."""

    def note(self, level: int, text: str) -> None:
        """Tell something that a person should know."""


Apply = Callable[[Words, tuple[str, ...], Talk], dict[str, Any]]
"""``conv3d apply``: its words, the command they came from, and whom to tell; returns the report."""


class _Started:
    """Notes the beginning of a job in its record: no output appears before."""

    def __init__(self, talk: Talk, job: Job) -> None:
        self.tick, self.note = talk.tick, talk.note
        self._planned, self._job = talk.planned, job

    def planned(self, peak_bytes: int, seconds: float) -> None:
        self._planned(peak_bytes, seconds)
        job = self._job
        write_record(job.folder, job.item.name, Record(STARTED, job.item.source, job.made_from))


def perform(job: Job, apply: Apply, talk: Talk) -> dict[str, Any]:
    """Make the output of a job, and return figures about it. Raises what ``apply`` raises."""
    start, item = perf_counter(), job.item
    sources = list(files_of(item.source))
    before = marks_of(sources)
    make_folder(Path(item.output).parent)
    words = {
        **item.words,
        "source": item.source,
        "target": item.output,
        "report_path": item.sidecar,
        "overwrite": job.overwrite,
        "dry_run": False,
    }
    document = apply(words, job.command, _Started(talk, job))
    if before is None or marks_of(sources) != before:
        _remove(*item.files, item.sidecar)
        raise VolumeError(f"{quoted(item.source)}: was changed while it was read")
    was = Content(sources, document["input"]["sha256"], before)
    write_record(job.folder, item.name, Record(DONE, item.source, job.made_from, was, _written(item)))
    return {
        "seconds": perf_counter() - start,
        "voxels": _product(document["input"]["shape"]),
        "read_bytes": sum(mark[0] for mark in before),
        "written_bytes": sum(mark[0] for mark in marks_of(list(item.files)) or ()),
        "warnings": document["warnings"],
    }


def _written(item: Item) -> Content:
    """Return what an output holds, by reading it once more."""
    names = list(item.files)
    marks = marks_of(names)
    sha256 = sha256_of_files(*names)
    if marks is None or marks_of(names) != marks:
        raise OutputError(f"{quoted(item.output)}: was changed just after it was written")
    return Content(names, sha256, marks)


def _remove(*names: str) -> None:
    for name in names:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as the rest of the way of a file


def _product(lengths: list[int]) -> int:
    voxels = 1
    for length in lengths:
        voxels *= length
    return voxels
