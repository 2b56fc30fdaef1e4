"""Words of the command line that need a closer look."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import UsageError

if TYPE_CHECKING:
    import click

    from conv3d_cli.batch import Item


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


def apply_command(item: Item, params: Iterable[click.Option], overwrite: bool) -> tuple[str, ...]:
    """Return the words of ``conv3d apply`` that do what a batch does for an item; ``params`` are its options."""
    told = ["--report", item.sidecar, *(["--overwrite"] if overwrite else [])]
    return ("apply", *option_words(item.words, params), *told, "--", item.source, item.output)


def option_words(values: Mapping[str, Any], params: Iterable[click.Option]) -> list[str]:
    """Return the words of a command line that give options these values, without those that are the default.

    >>> import click
    >>> option_words({"threads": 2, "seed": 0}, [click.Option(["--threads"]), click.Option(["--seed"], default=0)])
    ['--threads', '2']
    """
    words: list[str] = []
    for param in params:
        value = values[str(param.name)]
        if value == param.default or (not value and not param.secondary_opts):
            continue
        if param.is_flag:
            words.append(max(param.opts if value else param.secondary_opts, key=len))
        else:
            long = max(param.opts, key=len)
            words += [word for one in (value if param.multiple else [value]) for word in (long, _word(one))]
    return words


def _word(value: Any) -> str:
    return str(getattr(value, "text", value))
