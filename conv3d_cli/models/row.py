"""Whether a model's layers are in a row, each taking only what the one before it gives; and which stand in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from conv3d_cli.errors import quoted
from conv3d_cli.models.entry import Branch, Entry

#: Options of a call that leave the output as it is.
HARMLESS: Mapping[str, Any] = {"training": False}
CONVOLUTIONS = ("Conv3D", "Convolution3D")


class Row:
    """The layers of a model in the order in which they run, and every reason why it cannot be run in a row.

    ``entries`` is complete only if ``reasons`` is empty. The InputLayer of a nested model is left out: its input is the
    output of the layer before it.
    """

    def __init__(self, root: Branch) -> None:
        self.entries: list[Entry] = []
        self.reasons: list[str] = []
        self._walk(root)

    def _walk(self, branch: Branch) -> None:
        members = branch.members if branch.row else self._ordered(branch)
        for member in members:
            self._check_calls(member)
            if isinstance(member, Branch):
                self._walk(member)
            elif member.class_name != "InputLayer" or not branch.path:
                self.entries.append(member)

    def _check_calls(self, member: Entry | Branch) -> None:
        for call in member.calls:
            for key, value in call.options.items():
                if key not in HARMLESS or value != HARMLESS[key]:
                    shown = repr(value)[:40]
                    self.reasons.append(f"{described(member)} is called with {key}={quoted(shown)[1:-1]}")

    def _ordered(self, branch: Branch) -> list[Entry | Branch]:
        """Return the layers of a functional model from its input to its output, or in the file's order if it has none.

        The order of the list says nothing: only connections do.
        """
        before = len(self.reasons)
        where = f"model {quoted(branch.path)}" if branch.path else "the model"
        for ends, word in ((branch.inputs, "inputs"), (branch.outputs, "outputs")):
            if len(ends) != 1:
                self.reasons.append(f"{where} has {len(ends)} {word}: {_names(name for name, _, _ in ends)}")
        taken: Counter[str] = Counter()
        before_it: dict[str, str] = {}
        for member in branch.members:
            takes = [name for call in member.calls for name, _, _ in call.inputs]
            taken.update(takes)
            if len(member.calls) > 1:
                self.reasons.append(f"{described(member)} is used {len(member.calls)} times")
            elif len(takes) > 1:
                self.reasons.append(f"{described(member)} takes {len(takes)} inputs: {_names(takes)}")
            elif takes:
                before_it[member.name] = takes[0]
        for member in branch.members:
            if taken[member.name] > 1:
                self.reasons.append(f"the output of {described(member)} is taken {taken[member.name]} times")
        if len(self.reasons) > before:
            return list(branch.members)
        return self._chained(branch, before_it, where)

    def _chained(self, branch: Branch, before_it: Mapping[str, str], where: str) -> list[Entry | Branch]:
        known = {member.name: member for member in branch.members}
        name: str | None = branch.outputs[0][0]
        chain: list[Entry | Branch] = []
        while name is not None and len(chain) <= len(known):
            chain.append(known[name])
            name = before_it.get(name)
        unused = known.keys() - {member.name for member in chain}
        if len(chain) > len(known) or chain[-1].name != branch.inputs[0][0] or unused:
            off = f": {_names(sorted(unused))} not between" if unused else ""
            self.reasons.append(f"{where} has no row of layers from its input to its output{off}")
            return list(branch.members)
        return chain[::-1]


def described(member: Entry | Branch) -> str:
    """Return a layer's path and class for a message."""
    return f"{quoted(member.path)} ({quoted(member.class_name)[1:-1]})"


def first_convolution(root: Branch) -> Entry | None:
    """Return the layer to name as an example of one that can be taken out."""
    return next((e for e in root.entries() if e.own and e.class_name in CONVOLUTIONS), None)


def wrappers(branch: Branch) -> Iterator[Branch]:
    """Yield what holds a layer inside it and is no model, such as TimeDistributed."""
    for member in branch.members:
        if isinstance(member, Branch):
            if member.wrapper:
                yield member
            yield from wrappers(member)


def _names(names: Any) -> str:
    return ", ".join(quoted(name) for name in names) or "none"
