"""Measurements as a Markdown table and as a JSON document."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from statistics import geometric_mean, median

from benchmarks.runners import ENGINE, RUNNERS
from conv3d_cli.engine import isa

OURS = {runner.name for runner in RUNNERS if runner.ours}


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "instruction_set": isa.active(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def row(name: str, method: str, flops: float, times: dict[str, list[float]]) -> dict[str, object]:
    """Return the figures of one case: best and median in ms, and how often ours fits into the fastest peer's best."""
    best = {runner: min(seconds) for runner, seconds in times.items()}
    peers = {runner: value for runner, value in best.items() if runner not in OURS}
    mine = best[ENGINE]
    return {
        "case": name,
        "method": method,
        "best_ms": {runner: round(value * 1e3, 3) for runner, value in best.items()},
        "median_ms": {runner: round(median(seconds) * 1e3, 3) for runner, seconds in times.items()},
        "gflops": round(flops / mine / 1e9, 1),
        "fastest_peer": min(peers, key=lambda runner: peers[runner]) if peers else None,
        "ratio": round(min(peers.values()) / mine, 2) if peers else None,
    }


def markdown(document: dict) -> str:
    """Return the document as Markdown: one table for each number of threads."""
    about, names = document["machine"], document["versions"]
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks`. The best of several rounds in milliseconds, in brackets the median;",
        "float32, `same` padding, memory for the output included. The runners take turns, each result is checked.",
        "conv3d is the engine with the method that it picks, which is named; direct is the same for all. Ratio: the",
        "fastest peer's best by conv3d's. GFLOP/s: conv3d's, two operations for each multiply-add of a direct sum.",
        "",
        f"{about['processor']}, {about['processors']} processors, {about['instruction_set']}, "
        f"Python {about['python']}, load {about['load']} at the end; "
        + ", ".join(f"{name} {version}".strip() for name, version in names.items()),
    ]
    for table in document["tables"]:
        lines += ["", f"## {table['threads']} thread{'s' * (table['threads'] > 1)}", ""]
        lines += ["| case | method | " + " | ".join(names) + " | GFLOP/s | ratio |", "|---" * (len(names) + 4) + "|"]
        for r in table["rows"]:
            cells = [f"{r['best_ms'][n]:.2f} ({r['median_ms'][n]:.2f})" if n in r["median_ms"] else "" for n in names]
            ratio = "" if r["ratio"] is None else f"{r['ratio']:.2f}"
            lines.append("| " + " | ".join([r["case"], r["method"], *cells, f"{r['gflops']:.0f}", ratio]) + " |")
        ratios = [r["ratio"] for r in table["rows"] if r["ratio"]]
        if ratios:
            lines += ["", f"Geometric mean of the ratios: {geometric_mean(ratios):.2f}."]
    return "\n".join(lines) + "\n"
