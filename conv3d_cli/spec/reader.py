"""Strict YAML: bytes to a tree of values that know their place.

What a spec never needs is refused: anchors and aliases, tags, merge keys, repeated keys, several documents,
deep nesting, large files. The rest is PyYAML's, whose C parser and Python parser give the same marks.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from conv3d_cli.errors import SpecError, quoted
from conv3d_cli.frozen import field, frozen
from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.scalars import made, read_scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

MOST_BYTES = 64 * 1024
MOST_DEPTH = 16
A_SPEC = "`layers:`, or the keys of one Conv3D"


@frozen
class Node:
    """A value and its place; the values inside a list or a mapping are nodes again.

    ``keys`` holds the place of each key of a mapping; ``never`` and ``hint`` are those of a Scalar.
    """

    value: Any
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    never: str | None = None
    hint: str | None = None

    @classmethod
    def of(cls, value: Any, place: Place = Place(1, 1)) -> Node:  # noqa: B008 - a constant
        """Return the tree of plain values that all have one place.

        >>> Node.of({"filters": [8]}).value["filters"].plain()
        [8]
        """
        if isinstance(value, dict):
            return cls({key: cls.of(item, place) for key, item in value.items()}, place, dict.fromkeys(value, place))
        return cls([cls.of(item, place) for item in value] if isinstance(value, list) else value, place)

    def plain(self) -> Any:
        """Return the value as lists, dicts and scalars without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self) -> Iterator[Node]:
        """Yield this node and all nodes inside it, in the order of the file."""
        yield self
        inside = self.value.values() if isinstance(self.value, dict) else self.value
        if isinstance(self.value, (dict, list)):
            for node in inside:
                yield from node.walk()


def read_bytes(path: str, what: str = "spec", most: int = MOST_BYTES) -> bytes:
    """Return the bytes of a spec, or of ``what`` it is; SpecError if the file cannot be read, or is too large."""
    try:
        status = Path(path).stat()
        data = b""
        if stat.S_ISREG(status.st_mode):
            with Path(path).open("rb") as file:
                data = file.read(most + 1)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SpecError([f"{quoted(path)}: the {what} cannot be read: {why}"]) from error
    if not stat.S_ISREG(status.st_mode):
        raise SpecError([f"{quoted(path)}: not a regular file: expected a {what} in YAML"])
    if len(data) > most:
        size = f"got {status.st_size} bytes, expected at most {most}"
        Problems(path).fail(Place(1, 1), f"too large for a {what}: {size}")
    return data


def parse(data: bytes, problems: Problems, what: str = "spec", expected: str = A_SPEC) -> Node:
    r"""Return the tree of a spec, or of ``what`` it is; what is wrong with single values goes to ``problems``.

    Raises SpecError, with all that was found, where the text as a whole cannot be used.

    >>> tree = parse(b"filters: 8\nkernel_size: [3, 3, 1]\n", Problems("edges.yaml"))
    >>> tree.plain(), str(tree.value["kernel_size"].place)
    ({'filters': 8, 'kernel_size': [3, 3, 1]}, '2:14')
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = decode(data, problems)
    try:
        _check_events(yaml.parse(text, Loader=loader), problems, what)
        problems.raise_any()
        root = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # libyaml looks far ahead, and gives up before it tells of depth 17
            _check_events(yaml.parse(text, Loader=yaml.SafeLoader), problems, what)
            problems.raise_any()
        problems.fail(*_syntax(error, text))
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.style and not root.value):
        problems.fail(Place(1, 1), f"the {what} is empty: expected {expected}")
    return _node(root, problems)


def decode(data: bytes, problems: Problems) -> str:
    """Return the text of a file; SpecError with its place for what is none."""
    from yaml.reader import Reader

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        problems.fail(_at(before), f"not UTF-8: got byte 0x{data[error.start]:02x}, expected text in UTF-8")
    if bad := Reader.NON_PRINTABLE.search(text):
        what = "a NUL" if bad[0] == "\0" else f"the control character U+{ord(bad[0]):04X}"
        problems.fail(_at(text[: bad.start()]), f"not text: got {what}, expected printable characters")
    return text


def _at(before: str) -> Place:
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _check_events(events: Iterator[yaml.Event], problems: Problems, what: str) -> None:
    """Refuse what only the event stream shows; stops early where going on could cost much."""
    import yaml

    depth = documents = 0
    for event in events:
        place = _place(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                problems.add(place, f"a second document: expected one document in a {what}")
                return
        if isinstance(event, yaml.AliasEvent):
            problems.add(place, f"alias: got *{event.anchor}, expected the value written out")
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            problems.add(place, f"anchor: got &{event.anchor}, expected a value without an anchor")
        if getattr(event, "tag", None):
            problems.add(place, f"tag: got {_tag(event)}, expected a value without a tag")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                problems.add(place, f"nested too deeply: got {depth} levels, expected at most {MOST_DEPTH}")
                return
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _tag(event: Any) -> str:
    return str(event.tag).replace("tag:yaml.org,2002:", "!!")[:60]


def _syntax(error: Any, text: str) -> tuple[Place, str]:
    opened = error.context_mark
    place = _place(error.problem_mark or opened)
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    got = repr(line[place.column - 1]) if place.column <= len(line) else "the end of the line"
    if place.line > len(lines):
        got = "the end of the file"
    context = f", {error.context} that begins at {_place(opened)}" if opened and _place(opened) != place else ""
    hint = "; indent with spaces, not with tabs" if got == repr("\t") else ""
    return place, f"not YAML: {error.problem or 'cannot be parsed'}{context}: got {got}{hint}"


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _node(node: yaml.Node, problems: Problems, key: str = "") -> Node:
    import yaml

    place = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, problems)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(item, problems, key) for item in node.value], place)
    scalar = read_scalar(cast("yaml.ScalarNode", node))
    if scalar.never:
        problems.add(place, f"{key}: {scalar.never}" if key else scalar.never)
    return Node(scalar.value, place, never=scalar.never, hint=scalar.hint)


def _mapping(node: yaml.MappingNode, place: Place, problems: Problems) -> Node:
    import yaml

    values: dict[str, Node] = {}
    keys: dict[str, Place] = {}
    for key_node, value_node in node.value:
        at = _place(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(at, "a key must be a word: got a list or a mapping")
            continue
        if key_node.value == "<<" and not key_node.style:
            problems.add(at, "merge key: got <<, expected the keys written out")
            continue
        key = read_scalar(key_node).value
        if not isinstance(key, str):
            problems.add(at, f"a key must be a word: YAML reads {key_node.value or 'nothing'} as {made(key)}")
        elif key in values:
            problems.add(at, f"repeated key {shown(key)}: expected it once, the first is at {keys[key]}")
        else:
            values[key], keys[key] = _node(value_node, problems, key), at
    return Node(values, place, keys)
