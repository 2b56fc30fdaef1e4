"""What was measured, as one document of plain values: times in ms, sizes in bytes, speeds in units a second."""

from __future__ import annotations

import os
import platform
from typing import Any

from conv3d_cli import __version__
from conv3d_cli.bench.cases import Case
from conv3d_cli.bench.grid import region_of
from conv3d_cli.bench.machine import Machine
from conv3d_cli.bench.ours import Way
from conv3d_cli.bench.peers import PEERS
from conv3d_cli.bench.turns import Times
from conv3d_cli.engine import METHODS
from conv3d_cli.limits import processor
from conv3d_cli.report.schema import (
    COUNT,
    NUMBER,
    OPTIONAL_COUNT,
    OPTIONAL_NUMBER,
    OPTIONAL_STRING,
    STRING,
    Schema,
    list_of,
    record,
)

BENCH_VERSION = 1

Document = dict[str, Any]


def bench_document(machines: list[Machine], versions: dict[str, str], rows: list[Document]) -> Document:
    """Return the whole document; ``machines`` holds what was measured for each number of threads."""
    return {
        "report": "conv3d-bench",
        "version": BENCH_VERSION,
        "machine": {
            "processor": processor(),
            "processors": os.cpu_count() or 1,
            "system": platform.platform(),
            "python": platform.python_version(),
            "instruction_set": machines[0].instructions,
            "load": round(os.getloadavg()[0], 2),
        },
        "limits": [
            {
                "threads": machine.threads,
                "gflops_one_thread": _rate(machine.flops_of_one),
                "gflops": _rate(machine.flops),
                "read_gb": _rate(machine.read),
                "copy_gb": _rate(machine.copy),
            }
            for machine in machines
        ],
        "versions": {"conv3d": __version__, **versions},
        "rows": rows,
    }


def case_row(
    case: Case,
    machine: Machine,
    threads: int,
    chosen: str,
    ways: dict[str, Way],
    times: dict[str, Times],
    left_out: dict[str, str],
    peak: int | None,
) -> Document:
    """Return the figures of one case and number of threads."""
    methods = {name: {**times[name].document(), **_plan(way)} for name, way in ways.items()}
    peers = {
        name: {**times[name].document(), "library": PEERS[name].library, "approximate": PEERS[name].approximate}
        for name in times
        if name in PEERS
    }
    region, seconds = region_of(case), methods[chosen]["best_ms"] / 1e3
    fastest = min(peers, key=lambda name: float(peers[name]["best_ms"]), default=None)
    return {
        "case": case.name,
        "region": None if region is None else region.name,
        "threads": threads,
        "flops": case.flops,
        "bytes": case.bytes,
        "method": chosen,
        "why": ways[chosen].plan.why,
        "methods": methods,
        "peers": peers,
        "left_out": left_out,
        "fastest_peer": fastest,
        "ratio": None if fastest is None else round(peers[fastest]["best_ms"] / methods[chosen]["best_ms"], 3),
        "gflops": round(case.flops / seconds / 1e9, 2),
        "peak_share": _share(case.flops / seconds, machine.flops),
        "gb": round(case.bytes / seconds / 1e9, 2),
        "bandwidth_share": _share(case.bytes / seconds, machine.bandwidth),
        "peak_bytes": peak,
    }


def _plan(way: Way) -> Document:
    plan = way.plan
    return {
        "detail": plan.candidate.detail,
        "predicted_ms": round(plan.seconds * 1e3, 4),
        "scratch_bytes": plan.scratch_bytes,
    }


def _rate(value: float | None) -> float | None:
    return None if value is None else round(value / 1e9, 2)


def _share(value: float, most: float | None) -> float | None:
    return None if most is None else round(value / most, 4)


TIMES: Schema = {"best_ms": NUMBER, "median_ms": NUMBER, "calls": COUNT, "error": NUMBER}


def bench_schema() -> Schema:
    """Return the JSON Schema of what ``conv3d bench --json`` prints.

    >>> bench_schema()["properties"]["version"]
    {'const': 1}
    """
    own = record({**TIMES, "detail": STRING, "predicted_ms": NUMBER, "scratch_bytes": COUNT})
    peer = record({**TIMES, "library": STRING, "approximate": OPTIONAL_STRING})
    row = record(
        {
            "case": STRING,
            "region": OPTIONAL_STRING,
            "threads": COUNT,
            "flops": {**COUNT, "description": "of the defining sum, whatever the method"},
            "bytes": {**COUNT, "description": "input and weights read once, output written once"},
            "method": {"enum": sorted(METHODS), "description": "the one that the engine chose"},
            "why": STRING,
            "methods": {"type": "object", "additionalProperties": own},
            "peers": {"type": "object", "additionalProperties": peer},
            "left_out": {"type": "object", "additionalProperties": STRING},
            "fastest_peer": OPTIONAL_STRING,
            "ratio": {**OPTIONAL_NUMBER, "description": "best time of the fastest peer by that of the engine"},
            "gflops": {**NUMBER, "description": "flops by the best time"},
            "peak_share": OPTIONAL_NUMBER,
            "gb": {**NUMBER, "description": "bytes by the best time, in 1e9 a second"},
            "bandwidth_share": OPTIONAL_NUMBER,
            "peak_bytes": {**OPTIONAL_COUNT, "description": "measured beside input and output; null if not measured"},
        }
    )
    machine = {"processor": STRING, "processors": COUNT, "system": STRING, "python": STRING, "instruction_set": STRING}
    limit = dict.fromkeys(("gflops_one_thread", "gflops", "read_gb", "copy_gb"), OPTIONAL_NUMBER)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d bench",
        **record(
            {
                "report": {"const": "conv3d-bench"},
                "version": {"const": BENCH_VERSION},
                "machine": record({**machine, "load": NUMBER}),
                "limits": list_of(record({"threads": COUNT, **limit})),
                "versions": {"type": "object", "additionalProperties": STRING},
                "rows": list_of(row),
            }
        ),
    }
