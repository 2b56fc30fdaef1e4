"""What the outputs of a batch are called, and that no two of them, nor an output and an input, are one file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath
from string import Formatter
from typing import Any

from conv3d_cli.batch.items import SUFFIXES, Found
from conv3d_cli.errors import OutputError, UsageError, listed, nearest, quoted
from conv3d_cli.frozen import frozen
from conv3d_cli.report.batch import SIDECAR
from conv3d_cli.volumes.formats import files_of, format_of, output_format, path_of

OPTION = "--name"
DEFAULT = "{below}/{stem}{suffix}"
STATE_FOLDER = ".conv3d"
"""Where, in the folder of the outputs, a batch keeps its lock and its records."""
_ENTITY = re.compile(r"(?:^|_)([A-Za-z]+)-([A-Za-z0-9+]+)(?=_|$)")


@frozen
class Item:
    """One volume of a batch: its input and output, and the words of ``apply`` that make the one from the other.

    ``name`` is the output's path below the folder of the batch; ``sidecar`` says beside it how it was made.
    """

    source: str
    output: str
    name: str
    words: dict[str, Any]
    place: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the output consists of."""
        return files_of(self.output)

    @property
    def sidecar(self) -> str:
        """The file that tells of the run."""
        return path_of(self.output) + SIDECAR


FIELDS: dict[str, tuple[str, Callable[[Found], str]]] = {
    "stem": ("the input's name without its suffix", lambda found: split_suffix(found.source)[0]),
    "suffix": ("the input's suffix, such as .nii.gz", lambda found: split_suffix(found.source)[1]),
    "parent": ("the name of the folder that holds the input", lambda found: _parent(found).name),
    "below": ("the folders between the folder or pattern given and the input", lambda found: _below(found)),
    "dataset": ("the dataset of an HDF5 input, with _ for /", lambda found: _dataset(found.source)),
}
"""Fields of a template beside the entities of a name, such as ``{sub}`` of sub-01_T1w.nii.gz."""


class Template:
    """A text with fields in braces.

    >>> Template("{parent}/{sub}_smooth{suffix}").fill(Found("data/a/sub-01_T1w.nii.gz"))
    'a/01_smooth.nii.gz'
    """

    def __init__(self, text: str) -> None:
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"{OPTION}: not a template: {error}: got {text!r}, expected such as {DEFAULT!r}") from None
        for _, name, form, conversion in parts:
            if name is not None and (form or conversion or not re.fullmatch(r"[A-Za-z]+", name)):
                raise UsageError(f"{OPTION}: got {{{name}}} in {text!r}, expected a field such as {{stem}}, as it is")
        self.text = text
        self.parts = [(literal, name) for literal, name, _, _ in parts]

    def fill(self, found: Found) -> str:
        """Return the name of an input's output. Raises UsageError for a field that the input does not have."""
        entities = dict(_ENTITY.findall(split_suffix(found.source)[0]))
        return "".join(literal + self._value(name, found, entities) for literal, name in self.parts)

    def _value(self, name: str | None, found: Found, entities: dict[str, str]) -> str:
        if name is None:
            return ""
        if name in FIELDS:
            return FIELDS[name][1](found)
        if name in entities:
            return entities[name]
        known = [*FIELDS, *entities]
        raise UsageError(
            f"{OPTION}: {quoted(found.source)} has no {{{name}}}: expected one of "
            f"{', '.join(f'{{{field}}}' for field in known)}{nearest(name, known)}"
        )


def split_suffix(ref: str) -> tuple[str, str]:
    """Return a file's name without the suffix of its format, and that suffix.

    >>> split_suffix("data/brain.nii.gz"), split_suffix("scan.H5:/t0")
    (('brain', '.nii.gz'), ('scan', '.H5'))
    """
    name = PurePath(path_of(ref)).name
    length = max((len(suffix) for suffix in SUFFIXES if name.lower().endswith(suffix)), default=0)
    return (name[:-length], name[-length:]) if length else (name, "")


def _parent(found: Found) -> Path:
    return Path(os.path.abspath(path_of(found.source))).parent  # noqa: PTH100 - a link's own folder, not its target's


def _below(found: Found) -> str:
    parent = os.path.relpath(_parent(found), found.root) if found.root else "."
    return "." if parent.startswith("..") else parent


def _dataset(ref: str) -> str:
    return ref[len(path_of(ref)) + 1 :].strip("/").replace("/", "_")


def name_all(
    inputs: Sequence[Found], template: Template, folder: str, words: dict[str, Any], read: Iterable[str]
) -> list[Item]:
    """Return an item for each input, with its output in ``folder``.

    Raises UsageError for outputs that would lie elsewhere or that two inputs share, OutputError for one that is an
    input of the batch or another file of ``read``, which it needs; each with a line for everything that is wrong.
    """
    items, mistakes = [], []
    for found in inputs:
        try:
            items.append(_named(found, template, folder, words))
        except UsageError as error:
            mistakes.append(f"{found.place}{error!s}")
    mistakes += _shared(items)
    if mistakes:
        raise UsageError(listed(mistakes))
    _refuse_inputs(items, read)
    return items


def _named(found: Found, template: Template, folder: str, words: dict[str, Any]) -> Item:
    filled = found.output if found.output is not None else template.fill(found)
    path = path_of(filled)
    name = os.path.normpath(path)
    if name == "." or PurePath(name).is_absolute() or PurePath(name).parts[0] == ".." or path.endswith("/"):
        raise UsageError(
            f"{quoted(found.source)}: output {quoted(filled)}: expected a file's name below {quoted(folder)}"
        )
    if PurePath(name).parts[0] == STATE_FOLDER:
        raise UsageError(f"{quoted(found.source)}: output {quoted(filled)}: {STATE_FOLDER} keeps what the batch knows")
    if format_of(found.source) is not None:
        output_format(filled)
    dataset = filled[len(path) :]
    return Item(found.source, str(PurePath(folder, name)) + dataset, name, {**words, **found.words}, found.place)


def _shared(items: Sequence[Item]) -> list[str]:
    """Return a line for each file that two inputs would both write."""
    owners: dict[str, list[Item]] = {}
    for item in items:
        for path in (*item.files, item.sidecar):
            owners.setdefault(os.path.realpath(path), []).append(item)
    lines: dict[str, str] = {}
    for path, several in owners.items():
        if len(several) > 1:
            names = " and ".join(item.place + quoted(item.source) for item in several[:3])
            more = f" and {len(several) - 3} more" if len(several) > 3 else ""
            words = (
                f"{quoted(path)}: would be the output of {names}{more}: expected one output for each input; "
                f"give {OPTION} a field that tells them apart, such as {{parent}}"
            )
            lines.setdefault(several[0].name, words)
    return list(lines.values())


def _refuse_inputs(items: Sequence[Item], read: Iterable[str]) -> None:
    """Raise OutputError for outputs that are inputs, under whatever name: known by device and inode, and by path."""
    needed: dict[object, str] = {}
    for name in (*read, *(file for item in items for file in files_of(item.source))):
        needed.setdefault(os.path.realpath(name), name)
        if (own := _identity(name)) is not None:
            needed.setdefault(own, name)
    lines = []
    for item in items:
        for path in (*item.files, item.sidecar):
            other = needed.get(os.path.realpath(path)) or needed.get(_identity(path))
            if other is not None:
                lines.append(
                    f"{quoted(path)}: cannot be written: {quoted(other)} is the same file, which this batch needs"
                )
    if lines:
        raise OutputError(listed(lines))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
