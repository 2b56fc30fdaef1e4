"""What ``conv3d info`` says of how a volume was made, by what it holds itself or by the report beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conv3d_cli.provenance import History, decode, look, read
from conv3d_cli.report.batch import SIDECAR
from conv3d_cli.volumes import files_of, path_of
from conv3d_cli.volumes.stream import one_line

if TYPE_CHECKING:
    from conv3d_cli.volumes import Source

MOST_BYTES_OF_A_REPORT = 64 << 20


def made_by(path: str, volume: Source) -> dict[str, Any]:
    """Return what made a volume, and what became of the files that it was made from; nothing if nothing tells.

    What it holds itself goes before its report, ``OUT.json``, which says where the files were. What cannot be
    understood is told in the notes of the volume.
    """
    report = _report(path)
    history = _history(volume, report.get("provenance"))
    if not history.steps:
        return {}
    step = history.steps[-1]
    told = _told(report)
    files = []
    for role, file in step.files.items():
        state, place = look(file, role, path, told)
        files.append({"is": role, "name": file.name, "sha256": file.sha256, "state": state, "path": place})
    before = [earlier.command for earlier in history.steps[:-1]]
    return {
        "made by": step.command,
        "made with": f"conv3d {step.version}, {step.instruction_set}",
        "made from": files,
        **({"made before": before} if before else {}),
        **({"steps left out": history.left_out} if history.left_out else {}),
        "provenance": history.document(),
    }


def _told(report: dict[str, Any]) -> dict[str, str]:
    """Return where the files of a run were, by what they are to it, as its report says."""
    weights, run = report.get("weights"), report.get("run")
    where = {"weights": weights.get("path") if isinstance(weights, dict) else None}
    where |= run if isinstance(run, dict) else {}
    return {role: path for role, path in where.items() if isinstance(path, str)}


def file_line(file: dict[str, Any]) -> str:
    """Return a file of "made from" as a person reads it."""
    where = "" if file["path"] is None else f" ({file['path']})"
    return f"{file['is']} {file['name']}: {file['state']}{where}"


def _history(volume: Source, told: Any) -> History:
    try:
        if volume.provenance is not None:
            return decode(volume.provenance)
        return History() if told is None else read(told)
    except ValueError as error:
        volume.notes.append(f"how it was made cannot be told: {one_line(error)}")
        return History()


def _report(path: str) -> dict[str, Any]:
    """Return the report that lies beside a volume, or nothing.

    It is as good as none where the volume was written to since: its report is the younger file.
    """
    try:
        report = Path(path_of(path) + SIDECAR)
        found = report.stat()
        if found.st_size > MOST_BYTES_OF_A_REPORT or not report.is_file():
            return {}
        if any(Path(name).stat().st_mtime_ns > found.st_mtime_ns for name in files_of(path)):
            return {}
        document = json.loads(report.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and document.get("report") == "conv3d-run" else {}
