"""A document of measurements as a table on a terminal, and what it says in words."""

from __future__ import annotations

from typing import Any

from conv3d_cli.bench.verdicts import losses, well_chosen
from conv3d_cli.engine import METHODS
from conv3d_cli.report.table import render_lines, render_rows

Document = dict[str, Any]


def render_bench(document: Document) -> None:
    """Print the table and the sentences on standard output."""
    render_lines(_machine(document))
    for row in document["rows"]:
        render_lines([""])
        render_rows(_title(row), _ways(row))
    render_lines(_words(document))


def _machine(document: Document) -> list[str]:
    about = document["machine"]
    lines = [f"{about['processor']}, {about['instruction_set']}, load {about['load']:g}"]
    for limit in document["limits"]:
        threads = _threads(limit["threads"])
        if limit["gflops"] is None:
            lines.append(f"{threads}: no compiled kernel to measure the machine with")
        else:
            lines.append(
                f"{threads}: {limit['gflops']:.0f} GFLOP/s ({limit['gflops_one_thread']:.0f} on one), "
                f"memory read {limit['read_gb']:.0f} GB/s, copied {limit['copy_gb']:.0f} GB/s"
            )
    return [*lines, ", ".join(f"{name} {version}" for name, version in document["versions"].items())]


def _title(row: Document) -> str:
    shares = [
        f"{row[share]:.0%} of the {what}"
        for share, what in (("peak_share", "peak"), ("bandwidth_share", "bandwidth"))
        if row[share] is not None
    ]
    speed = f"{row['gflops']:.0f} GFLOP/s, {row['gb']:.1f} GB/s"
    return f"{row['case']}, {_threads(row['threads'])}: {', '.join([speed, *shares])}"


def _ways(row: Document) -> list[Document]:
    """Return a line for each way: the methods, the chosen one first and marked, then the peers, the fastest first."""
    mine = row["methods"][row["method"]]["best_ms"]
    methods = sorted(row["methods"], key=lambda name: (name != row["method"], row["methods"][name]["best_ms"]))
    peers = sorted(row["peers"], key=lambda name: float(row["peers"][name]["best_ms"]))
    ways = [(f"conv3d {name}{' *' if name == row['method'] else ''}", row["methods"][name]) for name in methods]
    ways += [(f"{name}{' ~' if row['peers'][name]['approximate'] else ''}", row["peers"][name]) for name in peers]
    return [
        {
            "name": name,
            "best ms": f"{way['best_ms']:.2f}",
            "median ms": f"{way['median_ms']:.2f}",
            "by conv3d's": f"{way['best_ms'] / mine:.2f}",
            "error": f"{way['error']:.0e}",
        }
        for name, way in ways
    ]


def _words(document: Document) -> list[str]:
    rows = document["rows"]
    lines = ["", "* chosen by the engine; ~ approximate: another kernel or other borders"]
    compared = [row for row in rows if row["ratio"] is not None]
    for row in losses(rows):
        lines.append(f"slower than {row['fastest_peer']}: {row['case']}, {row['ratio']:.2f} of its speed")
    if compared:
        lines.append(f"slower than a peer by more than 5 %: {len(losses(rows))} of {len(compared)} cases")
    good = sum(map(well_chosen, rows))
    lines.append(f"method within 15 % of the engine's fastest: {good} of {len(rows)} cases")
    left = [(row["case"], name, reason) for row in rows for name, reason in row["left_out"].items()]
    peers = [f"left out: {name} of {case}: {reason}" for case, name, reason in left if name not in METHODS]
    return [*lines, *peers]


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
