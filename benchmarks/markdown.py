"""A document of measurements as Markdown: what was lost, what was reached, and the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from conv3d_cli.bench import GRID, REGIONS
from conv3d_cli.bench.verdicts import at_moonshot, at_target, fastest_method, losses, well_chosen

Document = dict[str, Any]

ABOUT = """\
Written by `python -m benchmarks`. One volume, float32, padding `same`. All ways to compute a case take turns in one
process, warm, several rounds, each in another order, and four times as many where a peer is ahead or less than 15 %
behind; times are the best in milliseconds, in brackets the median, with the memory for the output got in the call. Each
result is checked against the definition in float64 at 150 random voxels and the corners. conv3d is the engine as a user
calls it, with the method that it picks. Ratio: the fastest peer's best by conv3d's, so more than 1 is faster. Peers
marked ~ compute something slightly different (another kernel, other borders); peers left out would have taken seconds
for a call. GFLOP/s count the multiply-adds of the defining sum, whatever the method does: a transform may come out
above the machine's peak. What keeps rows below their target, and what was tried, is told in [LIMITS.md](LIMITS.md)."""

MORE, SLACK = 1.1, 2 << 20
"""By how much, and by how many bytes, the memory measured may be above the prediction."""


def markdown(document: Document, plots: Sequence[str]) -> str:
    """Return the whole text; ``plots`` are the pictures to show, by file name."""
    rows = document["rows"]
    parts = [["# Benchmarks"], [ABOUT], _machine(document), ["## In short"], _short(rows)]
    parts += [[f"![{name.split('.')[0]}]({name})"] for name in plots]
    parts += [["## By region"], _regions(rows)]
    for name in _named(rows):
        own = [row for row in rows if row["region"] == name]
        parts += [[f"## {name}"], _times(own, document["versions"])]
    parts += [["## The engine's methods"], _methods(rows), _left_out(rows)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _machine(document: Document) -> list[str]:
    about = document["machine"]
    lines = [
        f"{about['processor']}, {about['processors']} processors, {about['instruction_set']}, {about['system']}, "
        f"Python {about['python']}, load {about['load']:g} at the start; "
        + ", ".join(f"{name} {version}" for name, version in document["versions"].items())
        + "."
    ]
    for limit in document["limits"]:
        if limit["gflops"] is not None:
            lines.append(
                f"On {_threads(limit['threads'])} this machine does {limit['gflops']:.0f} GFLOP/s in registers, reads "
                f"{limit['read_gb']:.0f} GB/s from memory and copies {limit['copy_gb']:.0f} GB/s (read and written)."
            )
    return lines


def _short(rows: list[Document]) -> list[str]:
    lost, compared = losses(rows), [row for row in rows if row["ratio"] is not None]
    lines = [f"- Slower than a peer by more than 5 %: {len(lost)} of {len(compared)} cells."]
    for row in lost:
        lines.append(
            f"  - **Lost**: {row['case']} on {_threads(row['threads'])} ({row['method']}) to {row['fastest_peer']}: "
            f"{row['ratio']:.2f} of its speed."
        )
    lines.append(f"- At the target of its region: {_count(map(at_target, rows))}.")
    lines.append(f"- At the moonshot: {_count(map(at_moonshot, rows))}.")
    lines.append(f"- Method within 15 % of the engine's fastest: {_count(map(well_chosen, rows))}.")
    for row in rows:
        if not well_chosen(row):
            best = fastest_method(row)
            slower = row["methods"][row["method"]]["best_ms"] / row["methods"][best]["best_ms"]
            where = f"{row['case']} on {_threads(row['threads'])}"
            lines.append(f"  - {where}: {row['method']} was chosen, {best} is {slower:.2f} times as fast.")
    weighed = [row for row in rows if row["peak_bytes"] is not None]
    if weighed:
        most = max(weighed, key=lambda row: int(row["peak_bytes"]))
        over = [row["case"] for row in weighed if row["peak_bytes"] > MORE * _predicted(row) + SLACK]
        lines.append(
            f"- Memory beside input and output: {most['peak_bytes'] / 2**20:.0f} MiB at most ({most['case']}); clearly "
            f"more than predicted: {len(over)} of {len(weighed)} cases{': ' if over else ''}{', '.join(over)}."
        )
    return lines


def _predicted(row: Document) -> float:
    """Return the memory beside input and output that the plan said, in bytes."""
    return float(row["methods"][row["method"]]["scratch_bytes"])


def _regions(rows: list[Document]) -> list[str]:
    table = []
    for region in REGIONS:
        own = [row for row in rows if row["region"] == region.name and row["ratio"] is not None]
        if own:
            ratios = [row["ratio"] for row in own]
            goal = f"{region.moonshot:g}x" if region.moonshot else f"{region.within:g}x the {region.limit}'s limit"
            worst = min(own, key=lambda row: float(row["ratio"]))
            cells = [region.name, f"{region.target:g}x", goal, f"{min(ratios):.2f}", worst["case"]]
            cells += [f"{median(ratios):.2f}", f"{max(ratios):.2f}"]
            table.append([*cells, _count(map(at_target, own)), _count(map(at_moonshot, own)), str(len(losses(own)))])
    heads = [
        "region",
        "target",
        "moonshot",
        "lowest ratio",
        "of",
        "median",
        "highest",
        "at target",
        "at moonshot",
        "lost",
    ]
    return _table(heads, table, "lllrlrrrrr")


def _times(rows: list[Document], versions: dict[str, str]) -> list[str]:
    libraries = [name for name in versions if any(p["library"] == name for r in rows for p in r["peers"].values())]
    table = []
    for row in _sorted(rows):
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        mine = [row["case"], str(row["threads"]), row["method"], _ms(row["methods"][row["method"]])]
        table.append(
            [*mine, *(_best(row, library) for library in libraries), f"**{ratio}**" if losses([row]) else ratio]
        )
    return _table(
        ["case", "threads", "method", "conv3d", *libraries, "ratio"], table, "lrlr" + "r" * len(libraries) + "r"
    )


def _best(row: Document, library: str) -> str:
    """Return the best that a library did, and by what, if it has several ways."""
    own = {name: peer for name, peer in row["peers"].items() if peer["library"] == library}
    if not own:
        return ""
    name = min(own, key=lambda name: float(own[name]["best_ms"]))
    way = "" if name == library else f" {name.split()[-1]}"
    return f"{_ms(own[name])}{way}{' ~' if own[name]['approximate'] else ''}"


def _methods(rows: list[Document]) -> list[str]:
    names = [
        name
        for name in ("direct", "pointwise", "separable", "winograd", "toom", "fft")
        if any(name in r["methods"] for r in rows)
    ]
    table = []
    for row in _sorted(rows):
        chosen = row["methods"][row["method"]]
        peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.1f}"
        times = [_marked(row, name) for name in names]
        speed = [
            f"{row['gflops']:.0f}",
            _percent(row["peak_share"]),
            f"{row['gb']:.1f}",
            _percent(row["bandwidth_share"]),
        ]
        memory = [peak, f"{chosen['scratch_bytes'] / 2**20:.1f}", f"{chosen['error']:.0e}"]
        table.append([row["case"], str(row["threads"]), *times, *speed, *memory])
    heads = ["case", "threads", *names, "GFLOP/s", "of peak", "GB/s", "of bandwidth", "MiB", "MiB predicted", "error"]
    about = [
        "Best times in ms of every method that serves a case and is not predicted to be far slower; the chosen one in",
        "bold. Memory is what the peak of a fresh process grows by beside input and output. Errors are the largest at",
        "a checked voxel, relative to the largest output.",
        "",
    ]
    return [*about, *_table(heads, table, "lr" + "r" * (len(heads) - 2))]


def _marked(row: Document, name: str) -> str:
    if name not in row["methods"]:
        return ""
    text = f"{row['methods'][name]['best_ms']:.2f}"
    return f"**{text}**" if name == row["method"] else text


def _left_out(rows: list[Document]) -> list[str]:
    lines = [
        f"- {row['case']}, {_threads(row['threads'])}: {name}: {reason}"
        for row in _sorted(rows)
        for name, reason in row["left_out"].items()
        if name not in ("direct", "pointwise", "separable", "winograd", "toom", "fft", "reference")
    ]
    return ["## Peers left out", "", *lines] if lines else []


def _sorted(rows: list[Document]) -> list[Document]:
    order = {case.name: i for i, case in enumerate(GRID)}
    return sorted(rows, key=lambda row: (order.get(row["case"], len(order)), row["threads"]))


def _named(rows: list[Document]) -> list[str]:
    return [region.name for region in REGIONS if any(row["region"] == region.name for row in rows)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    rule = "|".join("---:" if side == "r" else "---" for side in sides)
    return [f"| {' | '.join(heads)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


def _ms(times: Document) -> str:
    return f"{times['best_ms']:.2f} ({times['median_ms']:.2f})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _count(verdicts: Iterable[bool | None]) -> str:
    known = [verdict for verdict in verdicts if verdict is not None]
    return f"{sum(known)} of {len(known)}"


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
