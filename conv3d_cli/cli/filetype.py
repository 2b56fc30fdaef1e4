"""The type of options that name files."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem


class _File(click.ParamType):  # type: ignore[type-arg]
    """The name of a file, a dataset in one, or a stream: a shell completes it, and a run file knows it for a path."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name as it was typed."""
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


FILE = _File()
