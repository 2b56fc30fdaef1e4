"""What ``conv3d batch`` tells: a document of plain values, its schema, and a table of it."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any

from conv3d_cli.frozen import frozen
from conv3d_cli.report import words
from conv3d_cli.report.document import versions
from conv3d_cli.report.schema import (
    COUNT,
    OPTIONAL_COUNT,
    OPTIONAL_NUMBER,
    OPTIONAL_STRING,
    RUN,
    SECONDS,
    STRING,
    list_of,
    record,
)
from conv3d_cli.report.table import render_lines, render_rows

BATCH = "conv3d-batch"
BATCH_VERSION = 1
SIDECAR = ".json"
"""What is added to an output's name for the report that lies beside it."""
STATES = ("done", "skipped", "failed", "left", "planned")
"""Of an item: made now, not made because it need not be, not made because of an error, not begun, only planned."""
MOST_SLOW = 5
MOST_FAILURES = 20

Document = dict[str, Any]


@frozen
class BatchFacts:
    """What holds for a whole batch: its command and folder, how it was carried out, seconds it took, its exit code.

    ``run`` is the run file that repeats it.
    """

    command: str
    run: Document
    folder: str
    jobs: int
    threads: int
    memory: int
    memory_source: str
    seconds: float
    exit_code: int


def batch_document(facts: BatchFacts, items: Sequence[Document]) -> Document:
    """Return the document of a batch; every item is as ITEM describes it."""
    states = Counter(item["state"] for item in items)
    done = [item for item in items if item["state"] == "done"]
    read = sum(item["read_bytes"] or 0 for item in done)
    slow = sorted(done, key=lambda item: -(item["seconds"] or 0))[:MOST_SLOW]
    return {
        "report": BATCH,
        "version": BATCH_VERSION,
        "command": facts.command,
        "run": facts.run,
        "folder": facts.folder,
        "jobs": facts.jobs,
        "threads": facts.threads,
        "memory": {"limit_bytes": facts.memory, "limit_source": facts.memory_source},
        "exit_code": facts.exit_code,
        "counts": {"items": len(items), **{state: states[state] for state in STATES}},
        "seconds": facts.seconds,
        "voxels": sum(item["voxels"] or 0 for item in done),
        "read_bytes": read,
        "written_bytes": sum(item["written_bytes"] or 0 for item in done),
        "megabytes_per_second": read / 1e6 / facts.seconds if facts.seconds > 0 else None,
        "slowest": [{"source": item["source"], "seconds": item["seconds"]} for item in slow],
        "items": list(items),
        "versions": versions(),
        "platform": platform.platform(),
    }


ITEM = record(
    {
        "source": STRING,
        "output": STRING,
        "sidecar": {**STRING, "description": "the report of the run, beside the output"},
        "state": {"enum": list(STATES)},
        "why": {**STRING, "description": "why it was made, or not"},
        "attempts": COUNT,
        "code": {
            **COUNT,
            "description": "exit code that its error stands for, 128 + N where signal N ended its process",
        },
        "error": OPTIONAL_STRING,
        "warnings": list_of(STRING),
        "seconds": {"anyOf": [SECONDS, {"type": "null"}]},
        "voxels": {**OPTIONAL_COUNT, "description": "of the input"},
        "read_bytes": OPTIONAL_COUNT,
        "written_bytes": OPTIONAL_COUNT,
    }
)


def batch_schema() -> Document:
    """Return the JSON Schema of the document that ``batch --json`` prints, and leaves as summary.json.

    >>> batch_schema()["properties"]["version"]
    {'const': 1}
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "conv3d batch",
        **record(
            {
                "report": {"const": BATCH},
                "version": {"const": BATCH_VERSION},
                "command": STRING,
                "run": RUN,
                "folder": STRING,
                "jobs": {**COUNT, "description": "volumes worked on at once"},
                "threads": {**COUNT, "description": "threads of each"},
                "memory": record({"limit_bytes": COUNT, "limit_source": STRING}),
                "exit_code": COUNT,
                "counts": record({"items": COUNT, **dict.fromkeys(STATES, COUNT)}),
                "seconds": SECONDS,
                "voxels": COUNT,
                "read_bytes": {**COUNT, "description": "of the files of inputs that were made"},
                "written_bytes": COUNT,
                "megabytes_per_second": {**OPTIONAL_NUMBER, "description": "of input files read"},
                "slowest": list_of(record({"source": STRING, "seconds": SECONDS})),
                "items": list_of(ITEM),
                "versions": {"type": "object", "additionalProperties": STRING},
                "platform": STRING,
            }
        ),
    }


def render_batch(document: Document) -> None:
    """Print a batch: what would be done of each item, or the sums, the slowest items and the errors."""
    items, counts = document["items"], document["counts"]
    if counts["planned"]:
        render_rows("", [{"name": words.printable(item["source"]), **_plan(item)} for item in items])
        return
    rate = document["megabytes_per_second"]
    render_rows(
        "",
        [
            {
                **{state: str(counts[state]) for state in STATES if counts[state] or state in STATES[:3]},
                "voxels": words.count(document["voxels"]),
                "read": words.size(document["read_bytes"]),
                "written": words.size(document["written_bytes"]),
                "time": words.duration(document["seconds"]),
                "MB/s": "" if rate is None else f"{rate:.1f}",
            }
        ],
    )
    slow = [f"{words.printable(item['source'])} {words.duration(item['seconds'])}" for item in document["slowest"]]
    failed = [item["error"].splitlines()[0] for item in items if item["state"] == "failed"]
    lines = [f"slowest: {', '.join(slow)}"] if len(slow) > 1 else []
    lines += [f"failed: {error}" for error in failed[:MOST_FAILURES]]
    lines += [f"failed: {len(failed) - MOST_FAILURES} more"] if len(failed) > MOST_FAILURES else []
    render_lines(lines)


def _plan(item: Document) -> Document:
    return {"would": "run" if item["state"] == "planned" else "skip", "why": item["why"]}
