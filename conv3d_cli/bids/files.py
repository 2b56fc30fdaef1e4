"""The small files of a dataset: objects of JSON, and texts."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from conv3d_cli.errors import InputError, quoted
from conv3d_cli.outfile import replacing

DESCRIPTION = "dataset_description.json"


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a file of JSON holds; InputError where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{quoted(path)}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{quoted(path)}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{quoted(path)}: got a {type(found).__name__}, expected an object of JSON")
    return found


def json_bytes(document: dict[str, Any]) -> bytes:
    """Return an object as a file of the dataset has it."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a byte of a name that is no UTF-8 becomes JSON's escape


def keep(path: Path, content: bytes) -> None:
    """Write a file unless it holds just this. OutputError if it cannot be written."""
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    with replacing(path, overwrite=True) as file:
        file.write(content)
