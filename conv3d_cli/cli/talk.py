"""What a run tells on standard error and in the log file, and its progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from conv3d_cli.errors import Conv3dError, OutputError, UsageError, quoted
from conv3d_cli.telling import DEBUG, INFO, NOTHING, WARNING, Log, heard

if TYPE_CHECKING:
    from conv3d_cli.cli.loglines import LogFile

LONG_SECONDS = 1.0
PERCENT_LINE_SECONDS = 30.0
STREAM = "-"
GRIDS = ("mask_path", "labels_path", "like_path")
"""Words that name further volumes on the grid of the input."""
VOLUMES = {"input": "source", "mask": "mask_path", "labels": "labels_path", "like": "like_path"}
"""What volumes are to a run, and the words that name them."""
READ = ("source", "spec_path", "weights_path", *GRIDS)
"""Words that name what a run reads."""

log = Log("conv3d")


def volumes_in(words: dict[str, Any]) -> dict[str, str]:
    """Return the volumes that the words of a run name, by what they are to it."""
    return {role: words[word] for role, word in VOLUMES.items() if words[word] is not None}


@contextmanager
def talking(words: dict[str, Any]) -> Iterator[None]:
    """Send what is told to standard error as loud as asked, and all of it, errors too, to the log file.

    Raises OutputError for a log file that cannot be written, or that is another file of the same run.
    """
    loudness = NOTHING if words["quiet"] else (WARNING, INFO, DEBUG)[min(words["verbose"], 2)]
    file = _log_file(words)

    def start() -> Callable[[], None]:
        from conv3d_cli.cli.loglines import listen

        return listen(loudness, file)

    with heard(loudness if file is None else DEBUG, start):
        if file is not None:
            log.logger()  # and in the end the file is closed, if nothing was told too
        try:
            yield
        except BaseException as error:
            known = isinstance(error, Conv3dError)
            for line in (str(error) if known else f"{type(error).__name__}: {error}").splitlines() if file else ():
                log.error(line)
            raise
    if file is not None and file.failure is not None:
        raise OutputError(f"{quoted(file.name_given)}: the log cannot be written: {file.failure}")


def _log_file(words: dict[str, Any]) -> LogFile | None:
    """Open the log file, unless it is a file that the run reads or writes: lines at its end would damage that."""
    name = words["log_file"]
    if name is None:
        return None
    if name == "":
        raise UsageError("--log-file: got '', expected the name of a file")
    if name == STREAM:
        raise UsageError("--log-file: got '-', expected the name of a file; -v tells more on standard error")
    from conv3d_cli.cli.loglines import LogFile
    from conv3d_cli.outfile import check_apart
    from conv3d_cli.spec import spec_in
    from conv3d_cli.volumes import files_of

    weights = None
    keys = ("other", "target", "report_path", "run_path", *READ)
    others = [words.get(key) for key in keys]
    check_apart(name, files_of(*(other for other in others if other is not None)))
    with suppress(Conv3dError):  # a spec that cannot be read is told of later, in the log too
        # Opening the log is too early to know the plan, yet a line of it would already damage the weights.
        weights = getattr(spec_in(words), "weights", None)
    if weights is not None:
        check_apart(name, [weights])
    try:
        return LogFile(name)
    except OSError as error:
        raise OutputError(f"{quoted(name)}: cannot be opened: {error.strerror}") from None


@contextmanager
def progress(what: str, seconds: float, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show how far long work has come: a bar on a terminal, otherwise a rare line; short work shows nothing."""
    if quiet or seconds < LONG_SECONDS:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=1.0)
            yield lambda fraction: bar.update(task, completed=fraction)
    else:
        told = [monotonic()]

        def line(fraction: float) -> None:
            if monotonic() - told[0] >= PERCENT_LINE_SECONDS:
                told[0] = monotonic()
                print(f"{what}: {fraction:.0%}", file=sys.stderr, flush=True)

        yield line
