"""From the words of ``conv3d batch`` to its jobs, and from what became of them to its summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import click

from conv3d_cli.batch import (
    Decision,
    Found,
    Item,
    Job,
    Kitchen,
    Manner,
    Outcome,
    Rules,
    Template,
    carry_out,
    decide_all,
    gather,
    keep_refreshed,
    known_outputs,
    locked,
    name_all,
    read_manifest,
    record_path,
)
from conv3d_cli.cli.bids import DatasetBatch
from conv3d_cli.cli.columns import manifest_columns
from conv3d_cli.cli.display import displayed
from conv3d_cli.cli.executors import assembled, is_local
from conv3d_cli.cli.masks import masking_of
from conv3d_cli.cli.prepare import check_layers, json_text, print_json
from conv3d_cli.cli.runkeys import run_keys
from conv3d_cli.cli.sbatch import print_script
from conv3d_cli.cli.summary import exit_code, is_summary, row_of
from conv3d_cli.cli.talk import STREAM, log, talking
from conv3d_cli.cli.words import apply_command, command_line
from conv3d_cli.errors import Conv3dError, InputError, OutputError, UsageError, listed, quoted
from conv3d_cli.frozen import replace
from conv3d_cli.limits import Limits
from conv3d_cli.outfile import check_apart, remove_stale, replacing
from conv3d_cli.report import BatchFacts, batch_document, render_batch
from conv3d_cli.runfile import run_section
from conv3d_cli.volumes import files_of

T = TypeVar("T")


class Batch:
    """A batch as it was asked for: ``params`` are the options of ``apply``, ``reads`` those that name files."""

    def __init__(self, words: dict[str, Any], params: Sequence[click.Option], reads: Sequence[str]) -> None:
        self.words = words
        self.params = params
        self.folder: str = words["folder"]
        self.own = {str(param.name): words[str(param.name)] for param in params} | {"layers": words.get("layers")}
        options = {str(param.name): max(param.opts, key=len) for param in params}
        self.kitchen = Kitchen(reads, options)
        if words.get("run_path") is not None:
            self.kitchen.files.add(words["run_path"])
        part = "-{}-of-{}".format(*words["shard"]) if words["shard"] else ""
        self.summary = str(Path(self.folder, f"summary{part}.json"))
        self.start = perf_counter()
        self.tidy: set[Path] = set()
        self.listed: list[str] = []
        self.paths = [word for word in reads if word != "source"]

    def run(self) -> int:
        """Carry it out, or show what would be done, and return the exit code."""
        if not self.folder:
            raise UsageError("--out-dir: got '', expected the name of a folder")
        self.dataset = DatasetBatch(self.words) if self.words["bids"] else None
        found = self._found()
        self.listed = [one.source for one in found]
        made_from = self._made_from(found)
        template = Template(self.words["name"])
        self.kitchen.files.update(filter(None, [self.words["manifest"]]))
        items = name_all(found, template, self.folder, self.own, self.kitchen.files)
        self._check_files(items)
        items, made_from = self._part(items), self._part(made_from)
        if self.words["print_slurm"]:
            print_script(self.words, len(items))
            return 0
        with talking(self._loudness()):
            if self.dataset is not None:
                self.dataset.warn()
            if self.words["dry_run"]:
                return self._show(self._planned(items, self._decided(items, made_from)))
            with locked(self.folder, self.words["shard"]) as locks:
                return self._show(self._done(items, made_from, locks))

    def _found(self) -> list[Found]:
        if self.dataset is not None:
            return self.dataset.found()
        if self.words["manifest"] is not None:
            return read_manifest(self.words["manifest"], manifest_columns(self.params, self.paths))
        made = {str(Path(self.folder, name).resolve()) for name in known_outputs(self.folder)}
        return gather(self.words["sources"], self.words["pattern"], lambda name: str(Path(name).resolve()) in made)

    def _made_from(self, found: Sequence[Found]) -> list[dict[str, str]]:
        """Return what each output is made from. Raises InputError or UsageError, a line for each row with a mistake."""
        alike: dict[str, str] | None = None
        made_from: list[dict[str, str]] = []
        mistakes: list[str] = []
        for one in found:
            try:
                if not one.words and alike is None:
                    alike = self._ingredients(self.own)
                made_from.append(alike if alike and not one.words else self._ingredients({**self.own, **one.words}))
            except Conv3dError as error:
                if not one.place:  # as every volume would have it
                    raise
                mistakes += [one.place + line for line in str(error).splitlines()]
        if mistakes:
            raise InputError(listed(mistakes))
        return made_from

    def _part(self, entries: list[T]) -> list[T]:
        """Return those entries that belong to this part of the batch: of N parts the I-th has every N-th."""
        if self.words["shard"] is None:
            return entries
        number, parts = self.words["shard"]
        return entries[number - 1 :: parts]

    def _ingredients(self, words: dict[str, Any]) -> dict[str, str]:
        check_layers(words)
        masking_of(words)
        return self.kitchen.of(words)

    def _check_files(self, items: Sequence[Item]) -> None:
        """Keep the summary and the log apart from all that the batch reads and writes."""
        path = Path(self.summary)
        if path.exists() and not is_summary(path):
            raise OutputError(
                f"{quoted(path)}: exists already, and is no summary of a batch: expected another --out-dir"
            )
        read = [*self.kitchen.files, *(file for item in items for file in files_of(item.source))]
        if self.words["log_file"]:
            written = [file for item in items for file in (*item.files, item.sidecar)]
            check_apart(self.words["log_file"], [*read, *written, self.summary])

    def _loudness(self) -> dict[str, Any]:
        """Return the words for ``talking``: where no bars are shown, a line tells of each item."""
        loud = self.words["verbose"] if sys.stderr.isatty() else max(self.words["verbose"], 1)
        return {**self.words, "verbose": loud, "spec_path": None, "layers": None, "weights_path": None}

    def _decided(self, items: Sequence[Item], made_from: Sequence[dict[str, str]]) -> list[Decision]:
        threads = Limits.detect().threads
        manner = Manner(self.folder, self.words["if_exists"], self.words["verify"], threads)
        decisions = decide_all(items, made_from, manner)
        for decision in decisions:
            if decision.warning:
                log.warning(decision.warning)
        return decisions

    def _done(
        self, items: Sequence[Item], made_from: Sequence[dict[str, str]], locks: tuple[int, ...]
    ) -> dict[str, Any]:
        """Do what has to be done, and leave the summary of it."""
        decisions = self._decided(items, made_from)
        keep_refreshed(self.folder, items, decisions)
        if self.dataset is not None:
            self.dataset.begin()
        for item in items:
            self._tidy(Path(item.output).parent, record_path(self.folder, item.name).parent)
        size, threads = self._crew(sum(decision.run for decision in decisions))
        limits = Limits.detect(threads or None, self.words["max_memory"])
        rules = Rules(limits.memory, self.words["retries"], not self.words["keep_going"])
        outcomes: list[Outcome] = []
        if any(decision.run for decision in decisions):
            with assembled(self.words, locks, size, threads) as team:
                jobs = self._jobs(items, made_from, decisions, team.threads)
                with displayed(len(jobs), self.words) as listener:
                    outcomes = carry_out(jobs, team, rules, self.dataset.heard(listener) if self.dataset else listener)
            size = team.size
            limits = replace(limits, threads=team.threads)
            if team.memory is not None and not is_local(self.words["executor"]):
                limits = replace(limits, memory=team.memory, memory_source="the cluster's machines")
        if self.dataset is not None:
            self.dataset.end(items, made_from)
        became = {outcome.job.item.name: outcome for outcome in outcomes}
        rows = [row_of(item, decision, became.get(item.name)) for item, decision in zip(items, decisions, strict=True)]
        document = self._document(rows, size, limits, exit_code(outcomes))
        with replacing(self.summary, overwrite=True) as file:
            file.write(json_text(document).encode())
        return document

    def _tidy(self, *folders: Path) -> None:
        """Remove, once from each folder, what batches that were killed have left of whatever outputs."""
        for folder in {*folders} - self.tidy:
            remove_stale(str(folder))
        self.tidy.update(folders)

    def _planned(self, items: Sequence[Item], decisions: Sequence[Decision]) -> dict[str, Any]:
        size, threads = self._crew(sum(decision.run for decision in decisions))
        rows = [row_of(item, decision, None, "planned") for item, decision in zip(items, decisions, strict=True)]
        return self._document(rows, size, Limits.detect(threads or None, self.words["max_memory"]), 0)

    def _crew(self, jobs: int) -> tuple[int, int]:
        """Return how many volumes to work on at once, and with how many threads each: together all processors.

        0 is what a cluster knows, and nobody here.
        """
        asked_size, asked_threads = self.words["jobs"], self.words["threads"]
        if not is_local(self.words["executor"]):
            return min(asked_size or 0, jobs), asked_threads or 0
        processors = Limits.detect().threads
        size = min(asked_size or max(1, processors // (asked_threads or 1)), max(1, jobs))
        return size, asked_threads or max(1, processors // size)

    def _jobs(
        self, items: Sequence[Item], made_from: Sequence[dict[str, str]], decisions: Sequence[Decision], threads: int
    ) -> list[Job]:
        due = [entry for entry in zip(items, made_from, decisions, strict=True) if entry[2].run]
        jobs = []
        for number, (item, ingredients, decision) in enumerate(due, 1):
            threaded = replace(item, words={**item.words, "threads": threads})
            command = tuple(sys.argv[1:])  # for layers that no command line can say
            if item.words["layers"] is None:
                command = apply_command(threaded, self.params, decision.overwrite)
            jobs.append(Job(number, threaded, self.folder, ingredients, decision.overwrite, decision.why, command))
        return jobs

    def _document(self, rows: list[dict[str, Any]], size: int, limits: Limits, code: int) -> dict[str, Any]:
        seconds = perf_counter() - self.start
        sources = self.words["sources"]
        if STREAM in sources:  # which nobody can read again: what it listed stands in its place
            sources = self.listed
        repeated = run_section({**self.words, "sources": sources}, run_keys(), "batch")
        facts = BatchFacts(
            command_line(),
            repeated,
            self.folder,
            size,
            limits.threads,
            limits.memory,
            limits.memory_source,
            seconds,
            code,
        )
        return batch_document(facts, rows)

    def _show(self, document: dict[str, Any]) -> int:
        if self.words["as_json"]:
            print_json(document)
        elif not self.words["quiet"]:
            render_batch(document)
        code: int = document["exit_code"]
        return code
