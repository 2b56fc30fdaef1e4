"""Measure the whole grid on this machine and write the results: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.pop("OPENBLAS_CORETYPE", None)  # would make the peers' BLAS run below what the machine can do

from benchmarks.markdown import markdown
from conv3d_cli.bench import GRID, Settings, bench_document, installed, measure_case, measure_machine
from conv3d_cli.frozen import replace
from conv3d_cli.limits import Limits, processors

HERE = Path(__file__).parent
QUICK = {"rounds": 3, "budget": 0.2, "longest": 1.5}

CLOSE = 1.15
"""A case in which the engine is not so many times as fast as a peer is measured again, ``LONGER`` times as long."""

LONGER = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, processors()}))
    parser.add_argument("--rounds", type=int, default=7, help="calls of each way for each case, at most")
    parser.add_argument("--budget", type=float, default=0.5, help="seconds for each way and case, about")
    parser.add_argument("--longest", type=float, default=3.0, help="leave out peers that take longer for a call")
    parser.add_argument("--quick", action="store_true", help=f"the same as {QUICK}")
    parser.add_argument("--only", default="", help="cases whose name holds this text; printed, not written")
    parser.add_argument("--json", type=Path, help="continue this file if it exists, and write to it")
    parser.add_argument("--to", type=Path, default=HERE, help="folder of RESULTS.md, results.json and the plots")
    options = parser.parse_args()
    pace = QUICK if options.quick else {name: getattr(options, name) for name in QUICK}
    cases = [case for case in GRID if options.only in case.name]
    if not cases:
        parser.error(f"--only: no case of the grid holds {options.only!r}")
    options.to.mkdir(parents=True, exist_ok=True)
    path = options.json or (None if options.only else options.to / "results.json")
    document = measured(cases, options.threads, pace, path, resume=options.json is not None)
    if options.only:
        print(markdown(document, plots=()), end="")
        return
    from benchmarks.plots import PLOTS, draw

    draw(document, options.to)
    (options.to / "RESULTS.md").write_text(markdown(document, PLOTS), encoding="utf-8")


def measured(cases: list, threads: list[int], pace: dict[str, Any], path: Path | None, resume: bool) -> dict[str, Any]:
    """Return the document of all cases; each row is saved as soon as it is measured."""
    versions = installed()
    machines = [measure_machine(count) for count in threads]
    document = bench_document(machines, versions, [])
    if resume and path is not None and path.exists():
        document = continued(document, json.loads(path.read_text(encoding="utf-8")), path)
    done = {(row["case"], row["threads"]) for row in document["rows"]}
    for machine in machines:
        settings = Settings(
            Limits.detect(machine.threads),
            **pace,
            libraries=frozenset(versions),
            memory=machine.threads == max(threads),
        )
        for case in cases:
            if (case.name, machine.threads) in done:
                continue
            row = measure_case(case, machine, settings)
            if row["ratio"] is not None and row["ratio"] < CLOSE:  # few calls leave it to chance who is ahead
                longer = replace(settings, rounds=LONGER * settings.rounds, budget=LONGER * settings.budget)
                row = measure_case(case, machine, longer)
            document["rows"].append(row)
            if path is not None:
                save(document, path)
            print(f"{machine.threads} threads, {said(row)}", file=sys.stderr, flush=True)
    return document


def continued(new: dict[str, Any], old: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the document of an earlier run, if this one may go on with it."""
    steady = [{k: v for k, v in one["machine"].items() if k != "load"} for one in (new, old)]
    counts = [[limit["threads"] for limit in one["limits"]] for one in (new, old)]
    if (steady[0], new["versions"], counts[0]) != (steady[1], old["versions"], counts[1]):
        sys.exit(f"{path}: was measured on another machine, with other versions or threads: give another file")
    return old


def save(document: dict[str, Any], path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def said(row: dict[str, Any]) -> str:
    mine = f"{row['case']}: {row['method']} {row['methods'][row['method']]['best_ms']:.2f} ms"
    return mine if row["ratio"] is None else f"{mine}, {row['ratio']:.2f} times as fast as {row['fastest_peer']}"


if __name__ == "__main__":
    main()
