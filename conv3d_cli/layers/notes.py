"""What a layer has to tell without raising it: records of the logger ``conv3d``, at the level of information."""

from __future__ import annotations

from conv3d_cli.telling import Log

_log = Log("conv3d.layers")


def note(message: str, *values: object) -> None:
    """Log a sentence that a person may want to know; nobody sees it unless logging is set up to show it."""
    _log.info(message, *values)
