"""What a run asks of the names of files: without pathlib, the import of which takes longer than to plan the run."""

from __future__ import annotations

import os
import stat
from typing import TypeAlias

Name: TypeAlias = "str | os.PathLike[str]"


def is_file(name: Name) -> bool:
    """Return whether there is a regular file of a name, or a link to one."""
    return os.path.isfile(name)


def is_fifo(name: Name) -> bool:
    """Return whether there is a named pipe of a name."""
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False


def exists(name: Name) -> bool:
    """Return whether there is anything of a name that can be reached."""
    return os.path.exists(name)


def text_of(name: Name) -> str:
    """Return the text of a file; raises OSError if it cannot be read, ValueError if it is not UTF-8."""
    with open(name, encoding="utf-8") as file:
        return file.read()


def last_of(name: str) -> str:
    """Return a name without its folders.

    >>> last_of("data/scan.nii"), last_of("data/")
    ('scan.nii', 'data')
    """
    return os.path.basename(name.rstrip("/") or name)


def folder_of(name: Name) -> str:
    """Return the folder of a name, which is nothing for one in this folder.

    >>> folder_of("specs/edges.yaml"), folder_of("edges.yaml"), folder_of("./edges.yaml")
    ('specs', '', '')
    """
    folder = os.path.dirname(name)
    return "" if folder == "." else folder


def joined(folder: Name, *names: str) -> str:
    """Return a name in a folder; one that starts at the root stays what it is.

    >>> joined("specs", "psf.nii"), joined("", "psf.nii"), joined("specs", "/psf.nii")
    ('specs/psf.nii', 'psf.nii', '/psf.nii')
    """
    return os.path.join(folder, *names)


def is_absolute(name: Name) -> bool:
    """Return whether a name starts at the root."""
    return os.path.isabs(name)


def own_folder(name: str) -> str:
    """Return the name of what is in the user's own folder."""
    return os.path.join(os.path.expanduser("~"), name)
