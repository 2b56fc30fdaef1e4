"""The options of ``conv3d apply`` as columns of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from conv3d_cli.batch import Option
from conv3d_cli.errors import UsageError
from conv3d_cli.provenance import WITHOUT_EFFECT


def manifest_columns(params: Iterable[click.Option], paths: Sequence[str]) -> dict[str, Option]:
    """Return, by their long names, the options that a row may give: those that change what comes out.

    ``paths`` are the words that name files.
    """
    columns = {}
    for param in params:
        word = str(param.name)
        if word not in WITHOUT_EFFECT:
            long = max(param.opts, key=len).lstrip("-")
            columns[long] = Option(word, _reader(param), word in paths, param.multiple, param.is_flag)
    return columns


def _reader(param: click.Option) -> Callable[[Any], Any]:
    context = click.get_current_context()

    def read(value: Any) -> Any:
        try:
            return param.process_value(context, value)
        except click.UsageError as error:
            raise UsageError(error.format_message()) from None

    return read
