"""What ``conv3d compare`` tells: a document of plain values, its schema, and a table of it."""

from __future__ import annotations

import sys
from math import isfinite
from typing import TYPE_CHECKING, Any

from conv3d_cli.frozen import frozen
from conv3d_cli.report import words
from conv3d_cli.report.document import place_document
from conv3d_cli.report.schema import COUNT, NUMBER, OPTIONAL_NUMBER, PLACE, STRING, list_of, record
from conv3d_cli.report.table import render_rows
from conv3d_cli.volumes.comparison import CHECKS

if TYPE_CHECKING:
    from conv3d_cli.volumes import Comparison, Deviation, Geometry, Source, Tolerance

COMPARISON_VERSION = 1

Document = dict[str, Any]


@frozen
class Checked:
    """What was compared, and how: the two volumes by their names, the tolerance, what was asked for."""

    command: str
    volumes: tuple[Source, Source]
    tolerance: Tolerance
    checks: tuple[str, ...]


def comparison_document(checked: Checked, found: Comparison) -> Document:
    """Return the document of a comparison. An infinite or NaN value is written as a word, as JSON has no number."""
    tolerance = checked.tolerance
    sides = zip(checked.volumes, found.axes, found.geometry, strict=True)
    a, b = (
        {
            "path": volume.ref,
            "format": volume.format,
            "dtype": str(volume.dtype),
            **place_document(volume.shape, axes, geometry),
        }
        for volume, axes, geometry in sides
    )
    return {
        "report": "conv3d-compare",
        "version": COMPARISON_VERSION,
        "command": checked.command,
        "same": not found.different,
        "different": list(found.different),
        "found": list(found.found),
        "checks": list(checked.checks),
        "tolerance": {
            "atol": tolerance.atol,
            "rtol": tolerance.rtol,
            "nan_equal": tolerance.nan_equal,
            "voxels": tolerance.voxels,
        },
        "a": a,
        "b": b,
        "values": None if found.values is None else _values(found.values, found.axes[0], found.geometry[0]),
        "apart": found.apart,
        "notes": list(found.notes),
    }


def _values(values: Deviation, axes: str, geometry: Geometry | None) -> Document:
    worst = values.worst
    return {
        "voxels": values.voxels,
        "unequal": values.unequal,
        "beyond": values.beyond,
        "largest": values.largest,
        "rms": values.rms,
        "peak": values.peak,
        "nan": dict(zip(("both", "only_a", "only_b"), values.nans, strict=True)),
        "worst": None
        if worst is None
        else {
            "index": list(worst.index),
            "world": None
            if geometry is None
            else [float(v) for v in geometry.world([worst.index[axes.index(letter)] for letter in "xyz"])],
            "a": _real(worst.a),
            "b": _real(worst.b),
            "apart": _real(abs(worst.a - worst.b)),
        },
    }


def _real(value: float) -> float | str:
    return value if isfinite(value) else str(value)


_REAL: Document = {"anyOf": [NUMBER, {"enum": ["nan", "inf", "-inf"]}]}
_SIDE = record({"path": STRING, "format": STRING, "dtype": STRING, **PLACE})
_WORST = record(
    {
        "index": list_of(COUNT),
        "world": {"anyOf": [list_of(NUMBER, 3), {"type": "null"}], "description": "position in A's unit"},
        "a": _REAL,
        "b": _REAL,
        "apart": _REAL,
    }
)
_VALUES = record(
    {
        "voxels": COUNT,
        "unequal": {**COUNT, "description": "voxels that are not exactly equal"},
        "beyond": {**COUNT, "description": "voxels that differ by more than the tolerance"},
        "largest": {**NUMBER, "description": "largest finite difference"},
        "rms": {**NUMBER, "description": "root of the mean square of the finite differences"},
        "peak": {**NUMBER, "description": "largest finite magnitude in either volume"},
        "nan": record({"both": COUNT, "only_a": COUNT, "only_b": COUNT}),
        "worst": {
            "anyOf": [_WORST, {"type": "null"}],
            "description": "the voxel farthest beyond the tolerance, or nearest to it; index in A's order",
        },
    }
)


def comparison_schema() -> Document:
    """Return the JSON Schema of the document that ``compare --json`` prints.

    >>> comparison_schema()["properties"]["version"]
    {'const': 1}
    """
    names = {"enum": ["shape", *CHECKS]}
    fields = {
        "report": {"const": "conv3d-compare"},
        "version": {"const": COMPARISON_VERSION},
        "command": STRING,
        "same": {"type": "boolean", "description": "whether nothing differs that was asked for: exit code 0, else 7"},
        "different": {**list_of(names), "description": "what differs of that which was asked for"},
        "found": {**list_of(names), "description": "everything that differs"},
        "checks": list_of({"enum": list(CHECKS)}),
        "tolerance": record({"atol": NUMBER, "rtol": NUMBER, "nan_equal": {"type": "boolean"}, "voxels": NUMBER}),
        "a": _SIDE,
        "b": _SIDE,
        "values": {"anyOf": [_VALUES, {"type": "null"}]},
        "apart": {**OPTIONAL_NUMBER, "description": "distance between the same voxel's positions at most, in A's unit"},
        "notes": list_of(STRING),
    }
    schema = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": schema, "title": "conv3d comparison", **record(fields)}


def render_comparison(document: Document) -> None:
    """Print the table of a comparison's document on standard output."""
    for name in ("a", "b"):
        sys.stdout.write(f"{name.upper()} {words.printable(document[name]['path'])}\n")
    render_rows("", list(_rows(document)))
    for note in document["notes"]:
        sys.stdout.write(f"note: {note}\n")
    sys.stdout.write(f"{_verdict(document)}\n")


def _rows(document: Document) -> list[Document]:
    a, b = document["a"], document["b"]
    rows = [
        _row("shape", _shape(a), _shape(b), _result(document, "shape")),
        _row("dtype", a["dtype"], b["dtype"], _result(document, "dtype")),
    ]
    if document["apart"] is not None:
        apart = f"voxels lie {words.number(document['apart'])}{_unit(a)} apart at most"
        rows += [
            _row("spacing", _spacing(a), _spacing(b), _result(document, "geometry")),
            _row("origin", _point(a["origin"]), _point(b["origin"]), apart if document["apart"] else ""),
        ]
    if document["values"] is not None:
        rows += _value_rows(document, document["values"])
    return rows


def _value_rows(document: Document, values: Document) -> list[Document]:
    worst, nan = values["worst"], values["nan"]
    counts = f"{values['unequal']} of {values['voxels']} unequal, {values['beyond']} beyond the tolerance"
    rows = [_row("values", "", "", counts if worst else "the same")]
    if any(nan.values()):
        rows.append(_row("NaN", str(nan["both"] + nan["only_a"]), str(nan["both"] + nan["only_b"])))
    if worst:
        place = f"index {_point(worst['index'])}"
        if worst["world"] is not None:
            place += f", world {_point(worst['world'])}{_unit(document['a'])}"
        rows += [
            _row("worst", _exact(worst["a"]), _exact(worst["b"]), place),
            _row("difference", "", "", f"{words.number(values['largest'])} at most, {_share(values)}"),
        ]
    return rows


def _share(values: Document) -> str:
    rms = f"root mean square {words.number(values['rms'])}"
    return f"{rms}; the largest value is {words.number(values['peak'])}"


def _exact(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.9g}"


def _shape(volume: Document) -> str:
    return f"{words.lengths(volume['shape'])} {volume['axes']}"


def _spacing(volume: Document) -> str:
    return f"{words.lengths([round(v, 4) for v in volume['spacing']])}{_unit(volume)}"


def _unit(volume: Document) -> str:
    return "" if volume["unit"] == "unknown" else f" {volume['unit']}"


def _point(values: list[float]) -> str:
    return f"({', '.join(f'{value:.6g}' for value in values)})"


def _result(document: Document, name: str) -> str:
    if name not in document["found"]:
        return "the same"
    return "differs" if name in document["different"] else "differs (not asked for)"


def _row(name: str, a: str, b: str, result: str = "") -> Document:
    return {"": name, "A": a, "B": b, "result": result}


def _verdict(document: Document) -> str:
    if not document["same"]:
        return f"different: {', '.join(document['different'])}"
    limits = [f"{name} {document['tolerance'][name]:g}" for name in ("atol", "rtol") if document["tolerance"][name]]
    return f"the same within {', '.join(limits)}" if limits else "the same"
