"""The keys of a run file, made from the options and arguments of ``apply`` and ``batch``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import click

from conv3d_cli.cli.apply import apply
from conv3d_cli.cli.batch import batch
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.errors import UsageError
from conv3d_cli.kinds import FLAG, NUMBER, Kind, RefusedError, one_of
from conv3d_cli.runfile import BATCH, Key, Keys, run_schema

COMMANDS = {"apply": apply, BATCH: batch}
ARGUMENTS = {
    "source": ("input", "the volume to read"),
    "target": ("output", "the volume to write"),
    "sources": ("inputs", "volumes, folders or patterns to read"),
}
"""What the arguments of the commands are called in a file, where each thing has a name."""

PLURALS = {"suffix": "suffixes", "entity": "entities"}
"""Of names that do not take an s."""


@cache
def run_keys() -> Keys:
    """Return the keys that a run file may have: one for every option and argument of the commands."""
    found: dict[str, tuple[click.Parameter, set[str]]] = {}
    for name, command in COMMANDS.items():
        for param in command.params:
            if key_name(param) not in found:
                found[key_name(param)] = param, set()
            found[key_name(param)][1].add(name)
    return Keys((_key(name, param, frozenset(owners)) for name, (param, owners) in found.items()), _defaults)


def key_name(param: click.Parameter) -> str:
    """Return what an option or an argument is called in a run file.

    >>> key_name(click.Option(["--max-memory"])), key_name(click.Option(["--filter"], multiple=True))
    ('max_memory', 'filters')
    """
    if isinstance(param, click.Argument):
        return ARGUMENTS[str(param.name)][0]
    name = max(param.opts, key=len).lstrip("-").replace("-", "_")
    return PLURALS.get(name, name + "s") if param.multiple else name


def _key(name: str, param: click.Parameter, owners: frozenset[str]) -> Key:
    argument = isinstance(param, click.Argument)
    context = click.Context(COMMANDS[sorted(owners)[0]])
    several = param.multiple or param.nargs == -1
    return Key(
        name=name,
        word=str(param.name),
        option="" if argument else max(param.opts, key=len),
        owners=owners,
        kind=_kind(param),
        meaning=ARGUMENTS[str(param.name)][1] if argument else _meaning(param),
        convert=partial(_convert, context, param, several),
        path=param.type is FILE,
        several=several,
        choices=tuple(param.type.choices) if isinstance(param.type, click.Choice) else (),
        section=BATCH if owners == {BATCH} and not argument else "",
    )


def _meaning(param: click.Parameter) -> str:
    """Return the help of an option without what it says of the default on the command line."""
    text: str = getattr(param, "help", None) or ""
    return text.partition("  [default")[0]


def _kind(param: click.Parameter) -> Kind:
    """Return what may stand in a file for an option."""
    if getattr(param, "is_flag", False):
        return FLAG
    if isinstance(param.type, click.Choice):
        return one_of(*param.type.choices, any_case=False)
    if isinstance(param.type, click.IntRange):
        return _whole(int(param.type.min or 0))
    return NUMBER if param.type is click.FLOAT else TEXT


def _whole(least: int) -> Kind:
    def parse(value: Any) -> int:
        if type(value) is not int:
            raise RefusedError("not a whole number")
        if value < least:
            raise RefusedError(f"below {least}")
        return value

    return Kind(f"a whole number of at least {least}", parse, {"type": "integer", "minimum": least})


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (dict, list)) or value is None:
        raise RefusedError("not a text")
    raise RefusedError("a number or a truth value, and no text unless in quotes")


TEXT = Kind("a text", _text, {"type": "string"})


def _convert(context: click.Context, param: click.Parameter, several: bool, value: Any) -> Any:
    """Return what the command makes of a value, or raise UsageError."""
    return _checked(lambda: param.process_value(context, (value,) if several else value))


def _defaults(name: str) -> dict[str, Any]:
    """Return the words of a command that was given nothing but what it cannot do without, and None for that."""
    command = COMMANDS[name]
    needed = [param for param in command.params if param.required]
    line = [word for param in needed for word in (*param.opts[: isinstance(param, click.Option)], "-")]
    words = _checked(lambda: command.make_context(name, line).params)
    return {**words, **{str(param.name): None for param in needed}}


def _checked(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except click.UsageError as error:
        raise UsageError(error.format_message()) from None


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a run file."""
    return run_schema(run_keys())
