"""Layers that stand in a file which says more than a spec does, such as a run file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from conv3d_cli.filters.table import ROWS
from conv3d_cli.frozen import frozen
from conv3d_cli.spec.check import build_network
from conv3d_cli.spec.forms import FILE_KEYS, canonical_form
from conv3d_cli.spec.load import load_spec
from conv3d_cli.spec.problems import Problems
from conv3d_cli.spec.reader import Node
from conv3d_cli.spec.spec import Spec

if TYPE_CHECKING:
    from conv3d_cli.layers import Network

FILES = frozenset(name for name, row in ROWS.items() if "file" in row.parameters)
"""Filters that read a file."""


@frozen
class InlineSpec:
    """The layers of the file at ``path`` as a text that means the same in any process; each `load` makes a network."""

    text: str
    path: str

    @classmethod
    def of(cls, root: Node, problems: Problems) -> InlineSpec:
        """Return the layers of a mapping with ``layers:``, and ``keras:`` if need be.

        Raises SpecError with everything that is wrong in the file, at its place.
        """
        _network(root, problems)
        plain = {key: root.value[key].plain() for key in FILE_KEYS if key in root.value}
        return cls(json.dumps(plain, sort_keys=True), problems.path)

    @property
    def plain(self) -> dict[str, Any]:
        """The layers, and the dialect if it is given, as plain values."""
        values: dict[str, Any] = json.loads(self.text)
        return values

    def load(self) -> Spec:
        """Return the spec with a network of its own."""
        problems = Problems(self.path)
        keras, network = _network(Node.of(self.plain), problems)
        return Spec(network, None, keras, hashlib.sha256(self.text.encode()).hexdigest(), self.path)


def _network(root: Node, problems: Problems) -> tuple[int, Network]:
    canonical = canonical_form(root, problems)
    return canonical.keras, build_network(canonical, problems)


def spec_in(words: Mapping[str, Any]) -> Spec | None:
    """Return the spec that the words of a command name as ``spec_path``, or hold as ``layers``, or None."""
    inline: InlineSpec | None = words.get("layers")
    if inline is not None:
        return inline.load()
    return None if words.get("spec_path") is None else load_spec(words["spec_path"])


def with_files(value: Any, change: Callable[[str], str]) -> Any:
    """Return layers as plain values with each file that a kernel is read from changed.

    >>> with_files([{"class_name": "custom", "config": {"file": "psf.npy"}}], lambda name: "/data/" + name)
    [{'class_name': 'custom', 'config': {'file': '/data/psf.npy'}}]
    """
    if isinstance(value, list):
        return [with_files(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: with_files(item, change) for key, item in value.items()}
    config = made.get("config")
    if made.get("class_name") in FILES and isinstance(config, dict) and isinstance(config.get("file"), str):
        made["config"] = {**config, "file": change(config["file"])}
    return made
