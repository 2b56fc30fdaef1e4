"""Measure the engine and the installed peers on this machine: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # would make the peers' BLAS run below what the machine can do

from benchmarks.cases import CASES
from benchmarks.measure import measure
from benchmarks.report import machine, markdown, row
from benchmarks.runners import chosen, installed
from conv3d_cli.limits import processors


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, processors()}))
    parser.add_argument("--rounds", type=int, default=9, help="calls of each runner for each case, at most")
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for each runner and case, about")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    versions = installed()
    tables = []
    for threads in options.threads:
        rows = []
        for case in (c for c in CASES if options.only in c.name):
            times = measure(case, threads, list(versions), options.rounds, options.budget)
            rows.append(row(case.name, chosen(case, threads).method, 2.0 * case.problem.multiply_adds, times))
            print(f"{threads} threads, {case.name}: {rows[-1]['median_ms']}", file=sys.stderr)
        tables.append({"threads": threads, "rows": rows})
    document = {"machine": machine(), "versions": versions, "tables": tables}
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(markdown(document), end="")


if __name__ == "__main__":
    main()
