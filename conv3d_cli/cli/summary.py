"""What the summary of a batch says of each item, and what exit code comes of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conv3d_cli.batch import Decision, Item, Outcome
from conv3d_cli.errors import PARTLY
from conv3d_cli.report.batch import BATCH

FIRST_OF_CODES = (1, 4, 5)
"""Exit codes of single volumes that are the batch's too, the gravest first; every other failure makes it 6."""


def row_of(item: Item, decision: Decision, outcome: Outcome | None, otherwise: str = "left") -> dict[str, Any]:
    """Return what the summary says of an item; ``otherwise`` is its state where it was to run, and did not."""
    figures = outcome.figures if outcome else {}
    state = otherwise if decision.run else "skipped"
    if outcome is not None:
        state = "done" if outcome.error is None else "failed"
    return {
        "source": item.source,
        "output": item.output,
        "sidecar": item.sidecar,
        "state": state,
        "why": decision.why,
        "attempts": outcome.job.attempt if outcome else 0,
        "code": outcome.code if outcome else 0,
        "error": outcome.error if outcome else None,
        "warnings": figures.get("warnings", []),
        **{key: figures.get(key) for key in ("seconds", "voxels", "read_bytes", "written_bytes")},
    }


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of a batch: the gravest of its volumes' own, or that some failed."""
    codes = {outcome.code for outcome in outcomes if outcome.error is not None}
    return next((code for code in FIRST_OF_CODES if code in codes), PARTLY if codes else 0)


def is_summary(path: Path) -> bool:
    """Return whether a file is the summary of a batch."""
    try:
        return bool(json.loads(path.read_bytes()).get("report") == BATCH)
    except (OSError, ValueError, AttributeError):
        return False
