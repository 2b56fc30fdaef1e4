"""The SHA-256 of the files of a run, found beside its work: reading and inflating leave a core without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conv3d_cli.later import Later
from conv3d_cli.paths import is_file
from conv3d_cli.volumes.formats import sha256_of_files


class Hashes:
    """Hashes of files by name, each of several files one after the other; of what is no regular file there is none.

    The search begins at once, or when ``first`` is over.
    """

    def __init__(self, files: Mapping[str, Sequence[str]], first: Later[Any] | None = None) -> None:
        self._hashes = Later(lambda: _found(files, first))

    def found(self) -> dict[str, str | None]:
        """Return the hashes once they are there; raises VolumeError where a file cannot be read."""
        return self._hashes.result()


def _found(files: Mapping[str, Sequence[str]], first: Later[Any] | None) -> dict[str, str | None]:
    if first is not None:
        first.wait()
    found: dict[str, str | None] = {}
    for name, each in files.items():
        regular = each and all(is_file(file) for file in each)
        found[name] = sha256_of_files(*each) if regular else None
    return found
