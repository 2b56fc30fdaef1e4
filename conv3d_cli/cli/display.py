"""How a batch goes on, for who watches: bars on a terminal, a line for each item elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli.talk import log
from conv3d_cli.errors import quoted
from conv3d_cli.report import words as spoken
from conv3d_cli.telling import DEBUG, INFO, WARNING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from conv3d_cli.batch import Job, Outcome

LONGEST_NAME = 40


class Lines:
    """Tells of each item in a line when it is over, of errors at once, and of a warning once for all items.

    ``verbose`` is how much the user wants to hear of each item itself.
    """

    def __init__(self, total: int, verbose: int) -> None:
        self.total, self.verbose = total, verbose
        self.over = 0
        self._told: set[str] = set()

    def started(self, worker: int, job: Job) -> None:
        """Hear that a worker has got a job."""
        log.debug("%s: begins, because: %s", quoted(job.item.source), job.why)

    def planned(self, worker: int, seconds: float) -> None:
        """Hear that its work begins."""

    def ticked(self, worker: int, share: float) -> None:
        """Hear what share of it is done."""

    def noted(self, job: Job, level: int, text: str) -> None:
        """Tell a warning once; tell a note to who asked for it."""
        if level >= WARNING and text not in self._told:
            self._told.add(text)
            log.warning(text)
        else:
            log.log(INFO if self.verbose and level >= INFO else DEBUG, text)

    def retried(self, job: Job, error: str) -> None:
        """Tell that an item is tried again."""
        log.warning("%s; it is tried again", error)

    def finished(self, worker: int, outcome: Outcome) -> None:
        """Tell what became of an item."""
        self.over += 1
        item, error = outcome.job.item, outcome.error
        if error is None:
            took = spoken.duration(outcome.figures["seconds"])
            log.info("[%d/%d] done %s in %s", self.over, self.total, quoted(item.output), took)
            return
        log.info("[%d/%d] failed %s", self.over, self.total, quoted(item.source))
        for line in error.splitlines():
            log.error(line)
            click.echo(f"Error: {line}", err=True)


class Bars(Lines):
    """A bar for the batch, and one for each worker that has had work."""

    def __init__(self, total: int, verbose: int, progress: Progress) -> None:
        super().__init__(total, verbose)
        self.progress = progress
        self.all = progress.add_task(f"0 of {total}", total=total)
        self.rows: dict[int, TaskID] = {}

    def started(self, worker: int, job: Job) -> None:
        """Show the item."""
        super().started(worker, job)
        name = spoken.printable(job.item.name)
        name = name if len(name) <= LONGEST_NAME else "..." + name[3 - LONGEST_NAME :]
        if worker not in self.rows:
            self.rows[worker] = self.progress.add_task("", total=1.0)
        self.progress.reset(self.rows[worker], description=name, total=1.0, visible=True)

    def ticked(self, worker: int, share: float) -> None:
        """Move its bar."""
        self.progress.update(self.rows[worker], completed=share)

    def finished(self, worker: int, outcome: Outcome) -> None:
        """Move the bar of the batch."""
        super().finished(worker, outcome)
        if worker in self.rows:
            self.progress.update(self.rows[worker], visible=False)
        self.progress.update(self.all, completed=self.over, description=f"{self.over} of {self.total}")


@contextmanager
def displayed(total: int, words: dict[str, Any]) -> Iterator[Lines]:
    """Give who shows the progress of so many jobs."""
    if words["quiet"] or not sys.stderr.isatty():
        yield Lines(total, words["verbose"])
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(total, words["verbose"], progress)
