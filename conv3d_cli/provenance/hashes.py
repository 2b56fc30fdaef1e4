"""The SHA-256 of the files of a run, found beside its work: reading and inflating leave a core without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Thread

from conv3d_cli.paths import is_file
from conv3d_cli.volumes.formats import sha256_of_files


class Hashes:
    """Hashes of files by name, each of several files one after the other; of what is no regular file there is none."""

    def __init__(self, files: Mapping[str, Sequence[str]]) -> None:
        self._files = files
        self._found: dict[str, str | None] = {}
        self._error: Exception | None = None
        # A thread that is still at it does not keep a stopped run from ending.
        self._thread = Thread(target=self._find, daemon=True)
        self._thread.start()

    def found(self) -> dict[str, str | None]:
        """Return the hashes once they are there; raises VolumeError where a file cannot be read."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _find(self) -> None:
        try:
            for name, files in self._files.items():
                regular = files and all(is_file(file) for file in files)
                self._found[name] = sha256_of_files(*files) if regular else None
        except Exception as error:
            self._error = error
