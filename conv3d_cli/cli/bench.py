"""``conv3d bench``: this machine, this engine, and the peers that are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conv3d_cli.cli import options
from conv3d_cli.errors import UsageError

if TYPE_CHECKING:
    from conv3d_cli.bench import Case

USUAL_SECONDS = 60.0


@click.command()
@click.option("--case", "case_texts", multiple=True, metavar="CASE", help="Measure this case; may be repeated.")
@click.option("--grid", is_flag=True, help="Measure the whole grid, which takes many minutes.")
@click.option("--calibrate", is_flag=True, help="Measure the costs of the methods here, keep them for plans, and end.")
@click.option("--no-peers", is_flag=True, help="Measure no other library.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    metavar="N",
    default=5,
    show_default=True,
    help="Calls of each way, at most; slow ones are called less often.",
)
@options.THREADS
@options.JSON
def bench(
    case_texts: tuple[str, ...],
    grid: bool,
    calibrate: bool,
    no_peers: bool,
    rounds: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure this machine, this engine and the libraries that people use instead, side by side.

    Every method that serves a case and every peer that is installed take turns in this process; each result is checked.
    A case names channels and filters, voxels, kernel, and where it has them groups, stride, dilation and the place of
    the channels in memory; padding is "same", values are float32.

    Plans predict with costs that were measured on another machine. --calibrate takes about a second to measure them
    here, for the threads given, and keeps them in the folder CONV3D_CACHE, which is ~/.cache/conv3d unless it is set.

    \b
    Example:
      conv3d bench
      conv3d bench --calibrate
      conv3d bench --case '16->16 64^3 k3 s2' --case '1->1 256x256x181 gaussian2'
      conv3d bench --grid --threads 1 --json > grid.json
    """
    from conv3d_cli.bench import Settings, bench_document, installed, measure_case, measure_machine
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.cli.talk import progress
    from conv3d_cli.limits import Limits
    from conv3d_cli.report.bench import render_bench

    limits = Limits.detect(threads)
    if calibrate:
        if grid or case_texts:
            raise UsageError("--calibrate: goes without --grid and --case: got both, expected one of them")
        _calibrate(limits.threads, as_json)
        return
    cases = _cases(case_texts, grid)
    versions = {} if no_peers else installed()
    settings = Settings(limits, rounds, libraries=frozenset(versions))
    machine = measure_machine(limits.threads)
    rows: list[dict[str, Any]] = []
    with progress("bench", USUAL_SECONDS, quiet=False) as tick:
        for case in cases:
            rows.append(measure_case(case, machine, settings))
            if tick is not None:
                tick(len(rows) / len(cases))
    document = bench_document([machine], versions, rows)
    if as_json:
        print_json(document)
    else:
        render_bench(document)


def _calibrate(threads: int, as_json: bool) -> None:
    """Measure the costs of the methods with so many threads, keep them, and tell them."""
    from conv3d_cli.cli.prepare import print_json
    from conv3d_cli.engine import isa, pace
    from conv3d_cli.engine.calibration import calibrate
    from conv3d_cli.report.table import render_rows

    measured = calibrate(threads)
    path = pace.keep(measured, threads)
    if as_json:
        facts = {"path": path, "threads": threads, "instruction_set": isa.active(), "measured": measured.measured}
        print_json({**facts, "multiples": dict(measured.multiples)})
        return
    rows = [{"work": kind, "times the shipped costs": round(multiple, 2)} for kind, multiple in measured.multiples]
    render_rows(f"{path}: {isa.active()}, {threads} thread{'s' * (threads > 1)}", rows)


def _cases(texts: tuple[str, ...], grid: bool) -> tuple[Case, ...]:
    """Return the cases that are asked for, or the usual ones."""
    from conv3d_cli.bench import DEFAULT, GRID, parse_case

    if grid and texts:
        raise UsageError("--grid: goes without --case: got both, expected one of them")
    if grid:
        return GRID
    return tuple(dict.fromkeys(map(parse_case, texts))) or DEFAULT
