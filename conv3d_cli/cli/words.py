"""Words of the command line that need a closer look."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
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
    replacing = ["--overwrite"] if overwrite else []
    words = ["apply", *option_words(item.words, params), "--report", item.sidecar, *replacing]
    return (*words, "--", item.source, item.output)


def option_words(words: Mapping[str, Any], params: Iterable[click.Option]) -> Iterator[str]:
    """Yield what a command line says to give options these values, where they are not the defaults."""
    for param in params:
        value = words[str(param.name)]
        if value is None or value == param.default or (not value and (param.multiple or param.count)):
            continue
        long = max(param.opts, key=len)
        if param.is_flag:
            yield from [long] if value else param.secondary_opts
        elif param.count:
            yield from [long] * value
        else:
            for one in value if param.multiple else [value]:
                yield from (long, _word(one))


def _word(value: Any) -> str:
    return str(getattr(value, "text", value))
