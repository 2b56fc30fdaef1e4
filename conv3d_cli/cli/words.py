"""Words of the command line that need a closer look."""

from __future__ import annotations

import re
import shlex
import sys

from conv3d_cli.errors import UsageError


def shape_words(text: str, option: str = "--shape") -> tuple[int, ...]:
    """Return the lengths that ``91x109x91`` or ``91,109,91`` names; UsageError, naming the option, for other words.

    >>> shape_words("91x109x91")
    (91, 109, 91)
    """
    parts = [part.strip() for part in re.split(r"[x,]", text)]
    if len(parts) < 3 or not all(re.fullmatch(r"[0-9]{1,18}", part) and int(part) > 0 for part in parts):
        raise UsageError(f"{option}: not a shape: got {text!r}, expected at least three lengths, for example 91x109x91")
    return tuple(int(part) for part in parts)


def command_line() -> str:
    """Return the command line as a shell would read it."""
    return shlex.join(["conv3d", *sys.argv[1:]])
