"""From the words of ``apply`` to the step that an output tells of itself: the command, and the files it read."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli import __version__
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.cli.talk import log
from conv3d_cli.cli.words import option_words
from conv3d_cli.engine import isa
from conv3d_cli.errors import quoted
from conv3d_cli.pipeline import kernel_files
from conv3d_cli.provenance import WITHOUT_EFFECT, File, Hashes, History, Step, decode, name_only
from conv3d_cli.spec.inline import with_files
from conv3d_cli.volumes import files_of
from conv3d_cli.volumes.stream import one_line

if TYPE_CHECKING:
    from conv3d_cli.pipeline import RunPlan
    from conv3d_cli.report import Context
    from conv3d_cli.volumes import Source

VOLUMES = {"input": "source", "mask": "mask_path", "labels": "labels_path", "like": "like_path"}
"""What further volumes are to a run, and the words that name them."""
OF_THE_OUTPUT = frozenset({"output", "report_path", "overwrite", "dry_run", "provenance"})
PLACE_OF_THE_OUTPUT = "OUT"


class Making:
    """How an output is made; the hashes of its inputs are found from here on, beside the work."""

    def __init__(
        self, words: dict[str, Any], params: Iterable[click.Parameter], plan: RunPlan, context: Context
    ) -> None:
        self.words, self.params = words, params
        self.read = {role: words[word] for role, word in VOLUMES.items() if words[word] is not None}
        kernels = kernel_files([step.layer for step in plan.steps], plan.options.folder)
        self.read |= {f"kernel {i}" if i > 1 else "kernel": name for i, name in enumerate(dict.fromkeys(kernels), 1)}
        hashed = {"spec": context.spec, "weights": context.weights}
        self.hashed = {role: facts for role, facts in hashed.items() if facts is not None and facts["path"] is not None}
        self._hashes = Hashes({role: files_of(name) for role, name in self.read.items()})

    def history(self, opened: Mapping[str, Source | None]) -> History:
        """Return the steps that led to the output, those that led to the input in front if the input tells of them.

        ``opened`` are the volumes that were read, by what they are.
        """
        hashes = self.hashes(opened)
        return self._before(opened["input"]).then(self._step(hashes))

    def hashes(self, opened: Mapping[str, Source | None]) -> dict[str, str | None]:
        """Return the SHA-256 of what was read, by what it is: of a pipe that of what came out of it."""
        pipes = {role: source.hashing for role, source in opened.items() if source is not None and source.hashing}
        return self._hashes.found() | {role: pipe.digest.hexdigest() for role, pipe in pipes.items()}

    def _before(self, source: Source | None) -> History:
        if source is None or source.provenance is None:
            return History()
        try:
            return decode(source.provenance)
        except ValueError as error:
            log.warning("%s: how it was made is not told on: %s", quoted(self.words["source"]), one_line(error))
            return History()

    def _step(self, hashes: Mapping[str, str | None]) -> Step:
        files = {role: File(name_only(name), hashes[role]) for role, name in self.read.items()}
        known = {role: File(name_only(facts["path"]), facts["sha256"]) for role, facts in self.hashed.items()}
        layers = self.words.get("layers")
        plain = None if layers is None else with_files(layers.plain, name_only)
        return Step(self._command(), __version__, isa.active(), {**files, **known}, plain)

    def _command(self) -> str:
        """Return the command without folders, and without what has no effect on the output."""
        left_out = WITHOUT_EFFECT | OF_THE_OUTPUT
        options = [param for param in self.params if isinstance(param, click.Option) and param.name not in left_out]
        said = {str(param.name): _without_folders(self.words.get(str(param.name)), param) for param in options}
        names = [name_only(self.words["source"]), PLACE_OF_THE_OUTPUT]
        end = ["--"] if names[0].startswith("-") and names[0] != "-" else []
        return shlex.join(["conv3d", "apply", *option_words(said, options), *end, *names])


def _without_folders(value: Any, param: click.Option) -> Any:
    if isinstance(value, str) and param.type is FILE:
        return name_only(value)
    if isinstance(value, list):  # of filters
        return [one.with_file(name_only) for one in value]
    return value
