"""Small files that this package keeps for a user between runs, and can do without: one that is lost is made anew."""

from __future__ import annotations

import os
from collections.abc import Mapping

from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.outfile import replacing
from conv3d_cli.paths import is_absolute, joined, own_folder, text_of

VARIABLES = ("CONV3D_CACHE", "XDG_CACHE_HOME", "HOME")
"""What of the environment decides where the files lie."""


def folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return where the files lie: ``CONV3D_CACHE``, else ``conv3d`` in ``XDG_CACHE_HOME`` or in ``~/.cache``.

    >>> folder({"XDG_CACHE_HOME": "/var/cache/me"})
    '/var/cache/me/conv3d'
    """
    if own := environ.get("CONV3D_CACHE"):
        return own
    shared = environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    return joined(shared if is_absolute(shared) else own_folder(".cache"), "conv3d")


def place(name: str) -> str:
    """Return where a file of a name lies."""
    return joined(folder(), name)


def read(name: str) -> str | None:
    """Return the text of a file, or None if there is none. Raises OSError or ValueError if it cannot be read."""
    try:
        return text_of(place(name))
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(name: str, text: str) -> str:
    """Write a file, whole or not at all, and return its path. Raises OutputError if it cannot be written."""
    path = place(name)
    _make(folder())
    with replacing(path, overwrite=True) as file:
        file.write(text.encode())
    return path


def stamp(path: str) -> str:
    """Return what tells one version of a file from another: its size and the time of its last change."""
    status = os.stat(path)  # noqa: PTH116 - which would import pathlib
    return f"{status.st_size} {status.st_mtime_ns}"


def _make(path: str) -> None:
    from pathlib import Path

    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{quoted(path)}: cannot be created: {error.strerror}") from None
