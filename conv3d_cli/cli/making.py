"""From the words of ``apply`` to the step that an output tells of itself: the command, and the files it read."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli import __version__
from conv3d_cli.cli.filetype import FILE
from conv3d_cli.cli.talk import log, volumes_in
from conv3d_cli.cli.words import option_words
from conv3d_cli.engine import isa
from conv3d_cli.errors import quoted
from conv3d_cli.pipeline import kernel_files
from conv3d_cli.provenance import WITHOUT_EFFECT, File, Hashes, History, Step, decode, name_only
from conv3d_cli.volumes import files_of, sha256_of_files
from conv3d_cli.volumes.stream import one_line

if TYPE_CHECKING:
    from conv3d_cli.pipeline import RunPlan
    from conv3d_cli.report import Context
    from conv3d_cli.volumes import Source

OF_THE_OUTPUT = frozenset({"output", "report_path", "overwrite", "dry_run", "provenance"})
PLACE_OF_THE_OUTPUT = "OUT"


class Making:
    """How an output is made; ``hashes`` are those of the volumes that the words name, which others find meanwhile."""

    def __init__(
        self, words: dict[str, Any], params: Iterable[click.Parameter], plan: RunPlan, context: Context, hashes: Hashes
    ) -> None:
        self.words, self.params, self.hashes = words, params, hashes
        kernels = kernel_files([step.layer for step in plan.steps], plan.options.folder)
        self.kernels = {f"kernel {i}" if i > 1 else "kernel": name for i, name in enumerate(dict.fromkeys(kernels), 1)}
        hashed = {"spec": context.spec, "weights": context.weights}
        self.hashed = {role: facts for role, facts in hashed.items() if facts is not None and facts["path"] is not None}

    def history(self, opened: Mapping[str, Source | None]) -> History:
        """Return the steps that led to the output, those that led to the input in front if the input tells of them.

        ``opened`` are the volumes that were read, by what they are.
        """
        found = self.hashes.found()
        for role, source in opened.items():
            if source is not None and source.hashing is not None:  # a pipe, of which nothing is left to read
                found[role] = source.hashing.digest.hexdigest()
        return self._before(opened["input"]).then(self._step(found))

    def _before(self, source: Source | None) -> History:
        if source is None or source.provenance is None:
            return History()
        try:
            return decode(source.provenance)
        except ValueError as error:
            log.warning("%s: how it was made is not told on: %s", quoted(self.words["source"]), one_line(error))
            return History()

    def _step(self, hashes: Mapping[str, str | None]) -> Step:
        files = {role: File(name_only(name), hashes[role]) for role, name in volumes_in(self.words).items()}
        files |= {role: File(name_only(facts["path"]), facts["sha256"]) for role, facts in self.hashed.items()}
        files |= {role: File(name_only(name), sha256_of_files(*files_of(name))) for role, name in self.kernels.items()}
        return Step(self._command(), __version__, isa.active(), files, self._layers())

    def _layers(self) -> dict[str, Any] | None:
        """Return the layers that a run file holds, if it does."""
        layers = self.words.get("layers")
        if layers is None:
            return None
        from conv3d_cli.spec.inline import with_files

        plain: dict[str, Any] = with_files(layers.plain, name_only)
        return plain

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
