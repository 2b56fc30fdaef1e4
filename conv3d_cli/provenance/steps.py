"""What made a volume, step by step, as a text in JSON of bounded length.

::

    {"conv3d_provenance": 1, "steps": [
        {"command": "conv3d apply --filter sobel scan.nii.gz OUT", "version": "0.1.0", "instruction_set": "x86-64-v3",
         "files": {"input": {"name": "scan.nii.gz", "sha256": "..."}}}]}

The last step made the volume, those before it made its input. ``left_out`` counts earlier ones that found no room, and
``layers`` of a step are those that stood in a run file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from conv3d_cli.frozen import frozen, replace
from conv3d_cli.paths import last_of
from conv3d_cli.volumes.formats import STREAM, path_of
from conv3d_cli.volumes.making import MARK, MOST_BYTES

VERSION = 1
MOST_STEPS = 16
WITHOUT_EFFECT = frozenset({"threads", "max_memory", "as_json", "quiet", "verbose", "log_file"})
"""Words of a command that change how a volume is convolved and what is told of it, and not what comes out."""

_FORM = MARK.strip('{":')


@frozen
class File:
    """A file that was read: its name without folders, and its SHA-256; of a pipe that was read in part, None."""

    name: str
    sha256: str | None


@frozen
class Step:
    """A run: its command without folders, who did it, and the files it read, by what they are to it."""

    command: str
    version: str
    instruction_set: str
    files: Mapping[str, File]
    layers: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        plain: dict[str, Any] = {
            "command": self.command,
            "version": self.version,
            "instruction_set": self.instruction_set,
            "files": {role: {"name": file.name, "sha256": file.sha256} for role, file in self.files.items()},
        }
        return plain if self.layers is None else {**plain, "layers": dict(self.layers)}


@frozen
class History:
    """The steps that led to a volume, the last of which made it, and how many more there were before them."""

    steps: tuple[Step, ...] = ()
    left_out: int = 0

    def then(self, step: Step) -> History:
        """Return the history with one more step; where they are too many, the earliest go.

        >>> step = Step("conv3d apply --filter sobel a.npy OUT", "0.1.0", "generic", {"input": File("a.npy", None)})
        >>> history = History()
        >>> for _ in range(20):
        ...     history = history.then(step)
        >>> len(history.steps), history.left_out
        (16, 4)
        """
        return self._last(MOST_STEPS - 1)._with(step)

    def document(self) -> dict[str, Any]:
        """Return plain values."""
        more = {"left_out": self.left_out} if self.left_out else {}
        return {_FORM: VERSION, **more, "steps": [step.document() for step in self.steps]}

    def text(self) -> str | None:
        """Return a text for a file to hold; where it is too long, the earliest steps go first, then layers.

        None where the last step alone finds no room.
        """
        bare = History(tuple(replace(step, layers=None) for step in self.steps[-1:]), self._last(1).left_out)
        for history in (*(self._last(count) for count in range(len(self.steps), 0, -1)), bare):
            text = json.dumps(history.document(), separators=(",", ":"), ensure_ascii=True)
            if len(text) <= MOST_BYTES:
                return text
        return None

    def _last(self, count: int) -> History:
        kept = self.steps[-count:]
        return History(kept, self.left_out + len(self.steps) - len(kept))

    def _with(self, step: Step) -> History:
        return History((*self.steps, step), self.left_out)


def decode(text: str) -> History:
    """Return what a text tells; raises ValueError for one that is damaged, or of a later version."""
    try:
        return read(json.loads(text))
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def read(plain: Any) -> History:
    """Return what plain values tell; raises ValueError for what is none of ours, or is damaged."""
    try:
        if plain[_FORM] != VERSION:
            raise ValueError(f"its version is {plain[_FORM]!r}, expected {VERSION}")
        left_out = plain.get("left_out", 0)
        if type(left_out) is not int or not 0 <= left_out < 1 << 53:
            raise ValueError("left_out is no count")
        steps = tuple(_step(item) for item in plain["steps"][-MOST_STEPS:])
        if not steps:
            raise ValueError("there is no step")
        return History(steps, left_out)
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"it is damaged: {error}") from None


def name_only(ref: str) -> str:
    """Return the name of a file without its folders; a stream stays one.

    >>> name_only("data/scan.h5:/t0"), name_only("-")
    ('scan.h5:/t0', '-')
    """
    path = path_of(ref)
    return ref if ref == STREAM else last_of(path) + ref[len(path) :]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the plain values."""
    text = {"type": "string"}
    file = _record({"name": text, "sha256": {"type": ["string", "null"]}})
    step = _record(
        {
            "command": text,
            "version": text,
            "instruction_set": text,
            "files": {"type": "object", "additionalProperties": file},
        },
        {"layers": {"type": "object"}},
    )
    steps = {"type": "array", "items": step, "maxItems": MOST_STEPS, "description": "the last one made the volume"}
    left_out = {"type": "integer", "minimum": 1, "description": "earlier steps that found no room"}
    return _record({_FORM: {"const": VERSION}, "steps": steps}, {"left_out": left_out})


def _record(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _step(plain: Any) -> Step:
    files = {_string(role): File(_string(file["name"]), _hash(file["sha256"])) for role, file in plain["files"].items()}
    layers = plain.get("layers")
    if layers is not None and not isinstance(layers, dict):
        raise ValueError("layers are no mapping")
    return Step(_string(plain["command"]), _string(plain["version"]), _string(plain["instruction_set"]), files, layers)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}, expected a text")
    return value


def _hash(value: Any) -> str | None:
    return None if value is None else _string(value)
