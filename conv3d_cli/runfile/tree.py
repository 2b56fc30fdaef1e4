"""A run file to a tree: YAML, JSON, or the part of a report that repeats the run."""

from __future__ import annotations

from pathlib import PurePath

from conv3d_cli.errors import SpecError
from conv3d_cli.runfile.jsontree import JsonText
from conv3d_cli.spec.problems import Place, Problems, shown
from conv3d_cli.spec.reader import MOST_BYTES, Node, decode, parse, read_bytes

MOST_BYTES_OF_A_REPORT = 64 << 20
REPORTS = ("conv3d-run", "conv3d-plan", "conv3d-batch")
SECTION = "run"
"""The part of a report that repeats it."""

WHAT = "run file"
EXPECTED = "`input:`, `output:` and one of `layers:`, `spec:` and `filters:`"


RUNS = ("input", "inputs", "output", "batch")
"""Keys of which a run file has some, and neither a spec nor a layer any."""


def holds_run(path: str) -> bool:
    """Return whether a file in YAML or JSON is a run file, or a report, whatever else may be wrong with it."""
    problems = Problems(path)
    try:
        root = read_tree(path, problems)
    except SpecError:
        return False
    return any(key in root.value for key in RUNS)


def read_tree(path: str, problems: Problems) -> Node:
    """Return the tree of a run file; problems of single values go to ``problems``.

    Raises SpecError where the file as a whole cannot be used.
    """
    in_json = PurePath(path).suffix.lower() == ".json"
    data = read_bytes(path, WHAT, MOST_BYTES_OF_A_REPORT if in_json else MOST_BYTES)
    if in_json and data.strip():
        root = _json_tree(JsonText(decode(data, problems), problems), problems)
    else:
        root = parse(data, problems, WHAT, EXPECTED)
    if not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else shown(root.value)
        problems.fail(root.place, f"the {WHAT} must be a mapping: got {what} at the top, expected {EXPECTED}")
    return root


def _json_tree(text: JsonText, problems: Problems) -> Node:
    if text.text[text.start] != "{":
        return text.tree(text.start)
    at = {key: value for key, _, value in text.members(text.start)}
    if "report" not in at or text.tree(at["report"]).value not in REPORTS:
        return text.tree(text.start)
    if SECTION not in at:
        problems.fail(Place(1, 1), f"the report has no `{SECTION}`: it was written before reports could be repeated")
    section = text.tree(at[SECTION])
    if section.value is None:
        problems.fail(section.place, f"{SECTION}: the report is of no volume, and cannot be repeated")
    return section
