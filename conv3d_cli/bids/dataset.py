"""A dataset on the disk: what it says of itself, and the images in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from conv3d_cli.bids.files import DESCRIPTION, read_object
from conv3d_cli.bids.names import VOLUMES, Name
from conv3d_cli.errors import InputError, UsageError, quoted
from conv3d_cli.frozen import frozen

DATATYPES = ("anat", "func", "dwi", "fmap", "perf", "pet")
"""Folders that hold volumes; spectra (mrs) are NIfTI too, and complex."""

SURFACES = re.compile(r"\.[dp][a-z]+\.nii")
"""Extensions of CIFTI, which has NIfTI's suffix and holds no volume, such as .dtseries.nii."""

SUB, SES = "sub-", "ses-"
IGNORED = ".bidsignore"


@frozen
class Image:
    """A volume of a dataset: its file, its place in the dataset, and what its name says."""

    path: str
    place: PurePosixPath
    name: Name
    datatype: str


class Dataset:
    """A folder that holds a dataset.

    ``misnamed`` are volumes that lie where images do and are not named as one; they are left out of ``images``.
    Raises UsageError for a folder that is none, InputError for one whose description cannot be read.
    """

    def __init__(self, root: str) -> None:
        path = Path(root, DESCRIPTION)
        if not path.is_file():
            above = next((str(up) for up in Path(root).absolute().parents if Path(up, DESCRIPTION).is_file()), None)
            hint = f"; {quoted(above)} is one" if above else ""
            raise UsageError(f"IN: {quoted(root)}: no dataset: expected a folder with a {DESCRIPTION}{hint}")
        self.root = root
        self.description: dict[str, Any] = read_object(path)
        self.misnamed: list[str] = []

    @property
    def title(self) -> str:
        """The name that the dataset gives itself."""
        return str(self.description.get("Name") or Path(self.root).absolute().name)

    @property
    def raw(self) -> bool:
        """Whether it holds what was recorded, and nothing that was computed from it."""
        return bool(self.description.get("DatasetType", "raw") == "raw")

    @cached_property
    def participants(self) -> list[str]:
        """Labels of the participants that have a folder."""
        return [name[len(SUB) :] for name in self._folders("") if name.startswith(SUB)]

    def images(self, participants: list[str]) -> list[Image]:
        """Return the volumes of some participants, sorted, without those that .bidsignore names."""
        return [image for label in participants for image in self._images_of(SUB + label)]

    def _images_of(self, subject: str) -> Iterator[Image]:
        inside = self._folders(subject)
        for folder in (subject, *(f"{subject}/{name}" for name in inside if name.startswith(SES))):
            for datatype in DATATYPES:
                if datatype in (inside if folder == subject else self._folders(folder)):
                    yield from self._images_in(f"{folder}/{datatype}")

    def _images_in(self, folder: str) -> Iterator[Image]:
        for entry in self._entries(folder):
            place = PurePosixPath(folder, entry.name)
            # A link to nowhere is an image too: git-annex and DataLad have them for files that are not fetched.
            if not entry.name.endswith(VOLUMES) or entry.name.startswith(".") or entry.is_dir():
                continue
            if self._ignores(str(place)):
                continue
            name = Name.parse(entry.name)
            if name is not None and name.extension in VOLUMES and _in_its_place(name, place):
                yield Image(entry.path, place, name, place.parent.name)
            elif name is None or not SURFACES.fullmatch(name.extension):
                self.misnamed.append(entry.path)

    def _folders(self, place: str) -> list[str]:
        return [
            entry.name
            for entry in self._entries(place)
            if entry.is_dir() and not self._ignores(f"{place}/{entry.name}/")
        ]

    def _entries(self, place: str) -> list[os.DirEntry[str]]:
        folder = os.path.join(self.root, place) if place else self.root  # noqa: PTH118 - keeps what was typed
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{quoted(folder)}: cannot be read: {error.strerror}") from None

    def _ignores(self, place: str) -> bool:
        return self._ignoring is not None and self._ignoring(place.lstrip("/"))

    @cached_property
    def _ignoring(self) -> Callable[[str], bool] | None:
        path = Path(self.root, IGNORED)
        if not path.exists():
            return None
        from pathspec import GitIgnoreSpec

        try:
            return GitIgnoreSpec.from_lines(path.read_text(encoding="utf-8").splitlines()).match_file
        except (OSError, ValueError) as error:
            raise InputError(f"{quoted(path)}: cannot be read: {error}") from None


def _in_its_place(name: Name, place: PurePosixPath) -> bool:
    """Return whether the folders of a file are those that its name says."""
    above = [f"{key}-{label}" for key in ("sub", "ses") if (label := name.get(key)) is not None]
    return list(place.parts[:-2]) == above
