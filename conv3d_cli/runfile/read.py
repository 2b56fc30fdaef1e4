"""A run file to the words of the command that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from conv3d_cli.errors import UsageError
from conv3d_cli.frozen import frozen
from conv3d_cli.layers.arguments import ARGUMENTS
from conv3d_cli.runfile.keys import BATCH, OF_SPEC, Keys
from conv3d_cli.runfile.overrides import overridden, read_overrides
from conv3d_cli.runfile.tree import read_tree
from conv3d_cli.runfile.values import is_given, read_values
from conv3d_cli.spec.forms import unknown_key
from conv3d_cli.spec.inline import InlineSpec
from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.reader import Node

APPLY = "apply"
NEEDED = {APPLY: ("input", "output"), BATCH: ("out_dir",)}
OF_LAYERS = ("layers", "spec", "filters")

Words = dict[str, Any]
Rule = Callable[[Words], object]


@frozen
class Run:
    """What a run file asks for: a command and all of its words, ``layers`` and ``run_path`` among them.

    ``places`` has the place of each key that the file or ``--set`` gives; ``given`` the words of the command line,
    which go before them.
    """

    command: str
    words: Words
    path: str
    keys: Keys
    places: Mapping[str, Place]
    given: frozenset[str]

    @contextmanager
    def told(self) -> Iterator[None]:
        """Make a UsageError about keys of the file a SpecError with their places."""
        problems = Problems(self.path)
        with self._noted(problems):
            yield
        problems.raise_any()

    @contextmanager
    def _noted(self, problems: Problems) -> Iterator[None]:
        """Note what a UsageError says of keys of the file; one about anything else is raised."""
        try:
            yield
        except UsageError as error:
            lines = str(error).splitlines()
            about = [self.keys.about(line) for line in lines]
            for line, key in zip(lines, about, strict=True):
                if key is None or key.word in self.given:
                    raise
                problems.add(self.places.get(key.dotted, Place(1, 1)), self.keys.renamed(line))

    def check(self, rules: Sequence[Rule], problems: Problems) -> None:
        """Note what is wrong with the words together."""
        for rule in rules:
            with self._noted(problems):
                rule(self.words)


def read_run(path: str, overrides: Sequence[str], given: Words, keys: Keys, rules: Mapping[str, Sequence[Rule]]) -> Run:
    """Return what the run file at ``path`` asks for, or a report that a run has left.

    ``overrides`` are texts as ``layers.0.padding=same``, which go before the file; ``given`` are words of the command
    line, which go before both. ``rules`` check the words of a command together, by raising UsageError.

    Raises SpecError with everything that is wrong in the file, UsageError for words that are wrong for it.
    """
    problems = Problems(path)
    root = overridden(read_tree(path, problems), read_overrides(overrides, problems), problems)
    section = _section(root, problems)
    command = APPLY if section is None else BATCH
    _refuse_unknown(root, section, keys, problems)
    _refuse_others(root, command, keys, problems)
    words = read_values(keys.of(""), root, keys, problems)
    places = {key: node.place for key, node in root.value.items()}
    if section is not None:
        words |= read_values(keys.of(BATCH), section, keys, problems)
        places |= {f"{BATCH}.{key}": node.place for key, node in section.value.items()}
    owned = keys.owned(command)
    if more := sorted(given.keys() - owned.keys()):
        raise UsageError(f"--{keys.owned(APPLY)[more[0]].name}: is for one volume: got a run file of many")
    defaults = keys.defaults(command)
    words = {**{word: defaults[word] for word in owned}, **words, **given}
    inline = _inline(root, problems)
    run = Run(command, {**words, "layers": inline, "run_path": path}, path, keys, places, frozenset(given))
    _refuse_missing(run, inline is not None, root, problems)
    if not problems:
        run.check(rules[command], problems)
    if inline is not None:
        run.words["layers"] = InlineSpec.of(inline, problems)
    problems.raise_any()
    return run


def _section(root: Node, problems: Problems) -> Node | None:
    """Return the section of a run of many volumes, or None."""
    node: Node | None = root.value.get(BATCH)
    if node is None or not is_given(node):
        return None
    if not isinstance(node.value, dict):
        problems.add(node.place, f"{BATCH}: must be a mapping: got {shown(node.plain())}, expected `out_dir:` in it")
        return Node({}, node.place)
    return node


def _refuse_unknown(root: Node, section: Node | None, keys: Keys, problems: Problems) -> None:
    top, inner = (*keys.of(""), *OF_SPEC, BATCH), keys.of(BATCH)
    for key in root.value.keys() - set(top):
        if key in inner:
            problems.add(root.keys[key], f"{key}: stands alone: expected it below `{BATCH}:`")
        elif key in ARGUMENTS:
            problems.add(root.keys[key], f"{key}: is of a layer: expected it below `layers:`")
        else:
            problems.add(root.keys[key], unknown_key(key, top))
    if section is not None:
        for key in section.value.keys() - set(inner):
            text = f"{key}: stands below `{BATCH}:`: expected it at the top" if key in top else unknown_key(key, inner)
            problems.add(section.keys[key], text)


def _refuse_others(root: Node, command: str, keys: Keys, problems: Problems) -> None:
    """Note each key that is only for one volume in a file for many, and the other way round."""
    for name, key in keys.of("").items():
        if name in root.value and is_given(root.value[name]) and command not in key.owners:
            what = "is for one volume: got it beside" if command == BATCH else "is for many volumes: got it without"
            problems.add(root.keys[name], f"{name}: {what} `{BATCH}:`")


def _refuse_missing(run: Run, inline: bool, root: Node, problems: Problems) -> None:
    """Note what every run of its kind needs, and what it may have but once."""
    owned = {key.name: key for key in run.keys.owned(run.command).values()}
    for name in NEEDED[run.command]:
        key = owned[name]
        if run.words[key.word] is None and key.dotted not in run.places:
            problems.add(root.place, f"no `{key.dotted}:`: expected {key.meaning}")
    several = [name for name in OF_LAYERS if name in root.value and is_given(root.value[name])]
    if not several:
        problems.add(root.place, "no layers: expected one of `layers:`, `spec:` and `filters:`")
    for name in several[1:]:
        problems.add(root.keys[name], f"{name}: got it beside `{several[0]}:`, expected one of them")
    if "keras" in root.value and not inline:
        problems.add(root.keys["keras"], "keras: is of layers: got it without `layers:`, expected it in the spec")


def _inline(root: Node, problems: Problems) -> Node | None:
    """Return the part of a run file that is a spec in itself, or None."""
    if "layers" not in root.value or not is_given(root.value["layers"]):
        return None
    own = {key: root.value[key] for key in OF_SPEC if key in root.value}
    return Node(own, root.place, {key: root.keys[key] for key in own})
