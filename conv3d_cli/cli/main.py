"""The ``conv3d`` command: commands imported when used, signals that clean up, errors as one line and a code."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import click

from conv3d_cli import __version__
from conv3d_cli.cli.stopping import Stopped, stopping
from conv3d_cli.errors import Conv3dError, quoted

SWITCH_SECONDS = 5e-4
INTERNAL_ERROR, USAGE_ERROR, WRITE_ERROR, OVER_LIMIT = 1, 2, 4, 5

COMMANDS = {
    "apply": "conv3d_cli.cli.apply:apply",
    "batch": "conv3d_cli.cli.batch:batch",
    "bench": "conv3d_cli.cli.bench:bench",
    "compare": "conv3d_cli.cli.compare:compare",
    "filters": "conv3d_cli.cli.filters:filters",
    "info": "conv3d_cli.cli.info:info",
    "plan": "conv3d_cli.cli.plan:plan",
    "run": "conv3d_cli.cli.run:run",
    "weights": "conv3d_cli.cli.weights:weights",
}


class LazyGroup(click.Group):
    """A group whose commands are modules, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="conv3d")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Volumetric convolution: Keras Conv3D layers and filters on NIfTI, HDF5 and .npy volumes.

    \b
    Example:
      conv3d apply brain.nii.gz edges.nii.gz --spec edges.yaml
      conv3d apply brain.nii.gz smooth.nii.gz --filter gaussian:fwhm=6mm
      conv3d batch 'scans/*.nii.gz' --out-dir smooth --filter gaussian:fwhm=6mm
      conv3d plan brain.nii.gz --spec edges.yaml
      conv3d run edges-run.yaml

    \b
    Environment, where no option says otherwise:
      CONV3D_THREADS     threads to compute with
      CONV3D_MAX_MEMORY  memory that arrays may take, e.g. 4G
      CONV3D_SEED        seed of weights that no file gives
      CONV3D_ISA         instruction set of the kernels: x86-64-v4, x86-64-v3, x86-64-v2 or generic
      CONV3D_CACHE       folder that keeps what was measured on this machine

    \b
    Exit codes: 0 done, 1 internal error, 2 usage, 3 a spec, weights or volume cannot be used,
    4 the output cannot be written, 5 over the memory limit, 6 some volumes of a batch failed,
    7 compared volumes differ, 129/130/143 stopped by a signal.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code, as SystemExit if ``arguments`` are given."""
    if arguments is not None:
        sys.exit(run(list(arguments), last=True))
    _begin()
    _end(run(sys.argv[1:], last=True))


def _begin() -> None:
    """Keep out of this process what only takes time of it."""
    # The engine has threads of its own. Those of NumPy's BLAS, once started, wait for work in a loop for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # NumPy asks for huge pages. Where a host lends the memory, or it is in pieces, they take a fifth of the time of
    # ordinary ones or six times as long, by chance, and an array that is used once has little of them.
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    # What hashes a file beside the main thread asks for the interpreter between two pieces, and waits so long for it.
    sys.setswitchinterval(SWITCH_SECONDS)


def _end(code: int) -> NoReturn:
    """End the process here: taking every module apart, for the system to take back, takes longer than a small run."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(words: list[str], last: bool = False) -> int:
    """Run the command line and return its exit code; what goes wrong is told in one line on standard error.

    With ``last`` the process ends here: a signal that comes later finds nothing to stop.
    """
    _prepare_streams()
    try:
        with stopping(last):
            return _told(words)
    except Stopped as stopped:  # as the last line was told
        return 128 + stopped.number


def _told(words: list[str]) -> int:
    """Run the command line, tell what went wrong, and return the exit code."""
    try:
        result = cli.main(words, prog_name="conv3d", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except Stopped as stopped:
        _tell(str(stopped))
        return 128 + stopped.number
    except BaseException as error:
        if "--debug" in words and not isinstance(error, (click.exceptions.Exit, SystemExit)):
            import traceback

            traceback.print_exc()
        return _code(error)


def _code(error: BaseException) -> int:
    """Tell what went wrong and return the exit code for it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        _tell("interrupted")
        return 128 + signal.SIGINT
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE_ERROR
    if isinstance(error, click.UsageError):
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        _tell(" ".join(error.format_message().split()) + hint)
        return USAGE_ERROR
    if isinstance(error, SystemExit):
        if error.code == 0:  # shell completion has said what it had to say
            return 0
        _silence_stdout()  # Click's word for a reader of standard output that has gone
        return WRITE_ERROR
    code, lines = verdict(error)
    for line in lines:
        _tell(line)
    if isinstance(error, OSError) and not isinstance(error, Conv3dError):
        _silence_stdout()
    return code


def verdict(error: BaseException) -> tuple[int, list[str]]:
    """Return the exit code of an error in what a command does, and the lines that tell of it."""
    if isinstance(error, Conv3dError):
        return error.exit_code, str(error).splitlines() or [type(error).__name__]
    if isinstance(error, MemoryError):
        return OVER_LIMIT, ["memory: the system gave no more: try --max-memory, --threads 1 or --method direct"]
    if isinstance(error, OSError):
        where = quoted(error.filename) if error.filename else "standard output"
        return WRITE_ERROR, [f"{where}: {error.strerror or error}"]
    words = f"internal error: {type(error).__name__}: {error}; run again with 'conv3d --debug' to see where"
    return INTERNAL_ERROR, [words]


def _tell(line: str) -> None:
    with suppress(OSError):
        click.echo(f"Error: {line}", err=True)


def _silence_stdout() -> None:
    """Point standard output at nothing, so that Python's own flush at exit has nothing to complain about."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_streams() -> None:
    """Put something where the shell has closed a standard stream: the next file opened would take its number.

    Standard output gets what can only be read, so that printing to it fails, as it must. What its encoding lacks is
    escaped, as Python does on standard error.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - open to the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
