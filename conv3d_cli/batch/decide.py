"""Whether an output has to be made: it has not, if it is there, whole, and was made from what it would be made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from conv3d_cli.batch.naming import Item
from conv3d_cli.batch.records import (
    DONE,
    FAILED,
    STARTED,
    Content,
    Damaged,
    Record,
    files_there,
    marks_of,
    read_record,
    write_record,
)
from conv3d_cli.errors import Conv3dError, OutputError, listed, quoted
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.volumes import files_of, sha256_of_files

COARSE_CLOCK, FINE_CLOCK = 2_000_000_000, 20_000_000
"""Nanoseconds within which a file may change and keep its mark: FAT counts in steps of 2 s, others in ticks."""

ANSWERS = ("error", "skip", "overwrite")
"""What may be done about an output that is there, and that no record tells of."""


@frozen
class Decision:
    """Whether an item is to ``run``, and why or why not; ``overwrite`` says that its output may be replaced.

    ``warning`` is what a person should know: something happened that no batch has done. ``refreshed`` is the record of
    an output that proved whole, with the marks of today.
    """

    run: bool
    why: str
    overwrite: bool = False
    warning: str | None = None
    refreshed: Record | None = None


@frozen
class Manner:
    """How to decide: the folder, the answer for outputs that are not ours, whether marks are believed."""

    folder: str
    if_exists: str = "error"
    verify: bool = False
    threads: int = 1


def decide_all(items: Sequence[Item], made_from: Sequence[Mapping[str, str]], manner: Manner) -> list[Decision]:
    """Return a decision for each item. Raises OutputError, a line for each output that is in the way."""
    in_the_way: list[str] = []

    def one(pair: tuple[Item, Mapping[str, str]]) -> Decision | OutputError:
        try:
            return _decide(*pair, manner)
        except OutputError as error:
            return error

    decisions = []
    with ThreadPoolExecutor(manner.threads) as pool:
        for made in pool.map(one, zip(items, made_from, strict=True)):
            if isinstance(made, OutputError):
                in_the_way.append(str(made))
            else:
                decisions.append(made)
    if in_the_way:
        raise OutputError(listed(in_the_way))
    return decisions


def keep_refreshed(folder: str, items: Sequence[Item], decisions: Sequence[Decision]) -> None:
    """Write the records that have new marks, so that the next look is a cheap one again."""
    for item, decision in zip(items, decisions, strict=True):
        if decision.refreshed is not None:
            write_record(folder, item.name, decision.refreshed)


def _decide(item: Item, made_from: Mapping[str, str], manner: Manner) -> Decision:
    try:
        record = read_record(manner.folder, item.name)
    except Damaged as damage:
        return Decision(
            True, "its record is damaged", True, f"the record of {quoted(item.output)} is damaged: {damage}"
        )
    if record is None or (record.state == FAILED and not record.left):
        return _unknown(item, manner, "new" if record is None else "failed before")
    if record.state != DONE or record.input is None or record.output is None:
        return Decision(True, "was interrupted" if record.state == STARTED else "failed before", True)
    if reason := _other_ingredients(record.made_from, made_from):
        return Decision(True, reason, True)
    return _compared(item, record, record.input, record.output, manner)


def _unknown(item: Item, manner: Manner, why: str) -> Decision:
    """Decide about an item that has made no output yet, so that one which is there is somebody else's."""
    there = files_there(item)
    if not there:
        return Decision(True, why)
    if manner.if_exists == "error":
        raise OutputError(
            f"{quoted(there[0])}: exists already, and no record says that a batch made it: expected another name, or "
            "--if-exists skip or overwrite"
        )
    if manner.if_exists == "skip":
        return Decision(False, "exists already")
    return Decision(True, "is to be overwritten", True)


def _other_ingredients(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return f"changed: {', '.join(changed)}" if changed else None


def _compared(item: Item, record: Record, was: Content, left: Content, manner: Manner) -> Decision:
    """Decide by the contents of the files themselves."""
    sources = list(files_of(item.source))
    here = marks_of(list(item.files))
    if here is None or len(here) != len(left.names):
        return Decision(True, "output is missing", True)
    input_now = _content(sources, was, record.noted, manner)
    if input_now is None:
        return Decision(True, "input cannot be read", True)
    if input_now.sha256 != was.sha256:
        return Decision(True, "changed: input", True)
    output_now = _content(list(item.files), left, record.noted, manner)
    if output_now is None or output_now.sha256 != left.sha256:
        words = f"{quoted(item.output)}: is not as the batch left it"
        return Decision(True, "output is damaged", True, words)
    fresh = replace(record, source=item.source, input=input_now, output=output_now)
    settled = all(_settled(mark, record.noted) for mark in (*input_now.marks, *output_now.marks))
    return Decision(False, "done already", refreshed=None if settled and fresh == record else fresh)


def _content(names: list[str], known: Content, noted: int, manner: Manner) -> Content | None:
    """Return what files hold now: the content known, if their marks prove it, else by reading them.

    None if they cannot be read, or change meanwhile.
    """
    marks = marks_of(names)
    if marks is None:
        return None
    if not manner.verify and marks == known.marks and all(_settled(mark, noted) for mark in marks):
        return replace(known, names=names)
    try:
        found = sha256_of_files(*names)
    except Conv3dError:
        return None
    return Content(names, found, marks) if marks_of(names) == marks else None


def _settled(mark: list[int], noted: int) -> bool:
    """Return whether a file had last changed long enough before it was noted for every later change to show."""
    changed = max(mark[1], mark[2])
    tick = COARSE_CLOCK if mark[1] % 1_000_000_000 == 0 else FINE_CLOCK
    return noted - changed > tick
