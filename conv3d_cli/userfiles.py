"""Small files that this package keeps for a user between runs, and can do without: one that is lost is made anew."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from conv3d_cli.errors import OutputError, quoted
from conv3d_cli.outfile import replacing

VARIABLES = ("CONV3D_CACHE", "XDG_CACHE_HOME", "HOME")
"""What of the environment decides where the files lie."""


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the files lie: ``CONV3D_CACHE``, else ``conv3d`` in ``XDG_CACHE_HOME`` or in ``~/.cache``.

    >>> folder({"XDG_CACHE_HOME": "/var/cache/me"})
    PosixPath('/var/cache/me/conv3d')
    """
    if own := environ.get("CONV3D_CACHE"):
        return Path(own)
    shared = environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    return (Path(shared) if Path(shared).is_absolute() else Path("~/.cache").expanduser()) / "conv3d"


def read(name: str) -> str | None:
    """Return the text of a file, or None if there is none. Raises OSError or ValueError if it cannot be read."""
    try:
        return (folder() / name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(name: str, text: str) -> Path:
    """Write a file, whole or not at all, and return its path. Raises OutputError if it cannot be written."""
    path = folder() / name
    _make(path.parent)
    with replacing(path, overwrite=True) as file:
        file.write(text.encode())
    return path


def stamp(path: str) -> str:
    """Return what tells one version of a file from another: its size and the time of its last change."""
    status = Path(path).stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{quoted(str(path))}: cannot be created: {error.strerror}") from None
