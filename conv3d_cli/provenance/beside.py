"""Whether the files that a volume was made from are there, and are what they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from conv3d_cli.errors import Conv3dError
from conv3d_cli.provenance.steps import File
from conv3d_cli.volumes.formats import STREAM, files_of, path_of, sha256_of_files

UNCHANGED, DIFFERS, MISSING = "unchanged", "differs", "not found"


class Seen(NamedTuple):
    """What became of a file: one of the three words above, and where it is, or None."""

    state: str
    path: str | None


def look(file: File, role: str, made: str, told: Mapping[str, str]) -> Seen:
    """Return what became of a file that ``made`` was made from.

    It is looked for where ``told`` says by its role, beside ``made``, and in this folder. One of its name may be
    another, so that one that is unchanged goes before it; ``made`` itself, which may have its input's name, is none.
    A name with folders in it, as nothing here writes one, is looked for nowhere.
    """
    path = path_of(file.name)
    if file.sha256 is None or file.name == STREAM or PurePath(path).name != path:
        return Seen(MISSING, None)
    known = [told[role]] if role in told else []
    beside = str(Path(path_of(made)).parent / file.name)
    other = None
    for place in dict.fromkeys([*known, beside, file.name]):
        if not _is_there(place) or _same(place, made):
            continue
        if _sha256(place) == file.sha256:
            return Seen(UNCHANGED, place)
        other = other or place
    return Seen(MISSING, None) if other is None else Seen(DIFFERS, other)


def _is_there(place: str) -> bool:
    names = files_of(place)
    return bool(names) and all(Path(name).is_file() for name in names)


def _same(place: str, made: str) -> bool:
    try:
        return any(Path(name).samefile(other) for name in files_of(place) for other in files_of(made))
    except OSError:
        return False


def _sha256(place: str) -> str | None:
    try:
        return sha256_of_files(*files_of(place))
    except Conv3dError:
        return None
