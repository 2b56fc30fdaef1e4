"""The report as a table on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

from conv3d_cli.frozen import frozen
from conv3d_cli.report import words
from conv3d_cli.report.masked import mask_lines, rule_lines

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console
    from rich.table import Table

Document = dict[str, Any]

PLAIN_WIDTH = 160
WIDEST = 1000


@frozen
class Column:
    """A column of the table of layers: its heading, a cell of it, and the text that it may be left out for."""

    heading: str
    cell: Callable[[Document], str]
    right: bool = False
    dull: str | None = None


COLUMNS = (
    Column("layer", lambda layer: words.printable(layer["name"])),
    Column("class", lambda layer: layer["class_name"], dull="Conv3D"),
    Column("output", lambda layer: f"{words.lengths(layer['output_shape'])} {layer['output_axes']}"),
    Column("kernel", lambda layer: words.lengths(layer["kernel_size"]) if layer["method"] else ""),
    Column("stride", lambda layer: words.times(layer["strides"]), dull="1"),
    Column("dilation", lambda layer: words.times(layer["dilation_rate"]), dull="1"),
    Column("padding", lambda layer: _padding(layer)),
    Column("groups", lambda layer: str(layer["groups"]), dull="1"),
    Column("params", lambda layer: words.count(layer["parameters"]), right=True),
    Column("mult-adds", lambda layer: words.count(layer["multiply_adds"]), right=True),
    Column("sees", lambda layer: words.lengths(layer["receptive_field"])),
    Column("activation", lambda layer: layer["activation"], dull="linear"),
    Column("method", lambda layer: layer["method"] or ""),
)
TIMES = {
    "conv3d-run": Column("time", lambda layer: words.duration(layer["seconds"]), right=True),
    "conv3d-plan": Column("predicted", lambda layer: words.duration(layer["predicted_seconds"]), right=True),
}
LONGEST = ("arguments", "formula", "result", "why")
TEXTS = ("", "filter", "layer", "name", "shape", "dtype", "class", "A", "B", *LONGEST)


def render(document: Document, stream: TextIO) -> None:
    """Write the table of a plan's or a run's document to a stream."""
    console = _console(stream)
    layers = _doing(document["layers"])
    columns = _columns(document, layers)
    table = _layers(layers, columns)
    fits = console.measure(table, options=console.options.update(max_width=WIDEST)).maximum <= console.width
    middle = [table] if fits else [_sentence(layer, columns) for layer in layers]
    mask = mask_lines(document.get("mask"))
    _print(console, [_volume("input", document["input"]), *mask, *middle, _volume("output", document["output"])])
    _print(console, _footer(document))


def render_rows(title: str, rows: list[Document]) -> None:
    """Print rows under a title on standard output, each a value for every column."""
    console, table = _console(sys.stdout), _table()
    for name in rows[0] if rows else ():
        table.add_column(
            name, justify="left" if name in TEXTS else "right", no_wrap=name not in LONGEST, overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    _print(console, [words.printable(title), table] if title else [table])


def render_lines(lines: list[str]) -> None:
    """Print lines of text on standard output, as they stand between tables."""
    _print(_console(sys.stdout), [words.printable(line) for line in lines])


def _print(console: Console, lines: list[Any]) -> None:
    """Print lines and tables without the blanks that fill a table's lines up."""
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    console.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    width = None if stream.isatty() else PLAIN_WIDTH
    # Names hold what they hold: neither brackets nor words between colons are rich's to interpret.
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))


def _doing(layers: list[Document]) -> list[Document]:
    """Return the layers that do something; what only acts in training, or names the input, is left to the document."""
    doing = [
        layer
        for layer in layers
        if layer["method"] or layer["activation"] != "linear" or any(layer["padding_before"] + layer["padding_after"])
    ]
    return doing or layers


def _columns(document: Document, layers: list[Document]) -> list[Column]:
    """Return the columns that say something about any of the layers."""
    shown = [c for c in COLUMNS if c.dull is None or any(c.cell(layer) != c.dull for layer in layers)]
    return [*shown, TIMES[document["report"]]]


def _sentence(layer: Document, columns: list[Column]) -> str:
    """Return a row of the table as text, for a terminal that is too narrow for the table."""
    return ", ".join(f"{column.heading} {column.cell(layer)}" for column in columns)


def _layers(layers: list[Document], columns: list[Column]) -> Table:
    table = _table()
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for layer in layers:
        table.add_row(*(column.cell(layer) for column in columns))
    return table


def _padding(layer: Document) -> str:
    """Return the zeros before and after each axis, as one pair where all are alike."""
    pairs = zip(layer["padding_before"], layer["padding_after"], strict=True)
    each = [_pair(before, after) for before, after in pairs]
    return each[0] if len(set(each)) == 1 else ", ".join(each)


def _pair(before: int, after: int) -> str:
    """Return the zeros before and after an axis, or what is cut off there."""
    if before == after == 0:
        return "0"
    return f"{before}+{after}" if min(before, after) >= 0 else f"cut {-before}+{-after}"


def _cell(value: object) -> str:
    if isinstance(value, list):
        return words.lengths(value)
    if isinstance(value, float):
        return words.number(value)
    return "" if value is None else words.printable(str(value))


def _volume(role: str, volume: Document) -> str:
    parts = [f"{words.lengths(volume['shape'])} {volume['axes']}", volume.get("dtype", "")]
    if volume["spacing"]:
        unit = "" if volume["unit"] == "unknown" else f" {volume['unit']}"
        parts.append(f"spacing {words.lengths([round(v, 4) for v in volume['spacing']])}{unit}")
        parts.append(f"origin ({', '.join(words.number(v) for v in volume['origin'])})")
    if "values" in volume:
        values = volume["values"]
        parts.append(f"values {words.number(values['min'])} to {words.number(values['max'])}")
        if values["nonfinite"]:
            parts.append(f"{values['nonfinite']} non-finite")
    if volume.get("clipped"):
        parts.append(f"{volume['clipped']} clipped")
    return f"{role:<7}{words.printable(volume.get('path') or '(no file)')}: {', '.join(part for part in parts if part)}"


def _remarks(layer: Document) -> list[str]:
    """Return why a layer's method was chosen, its losses, and what its weights should satisfy."""
    remarks = [_filter(layer["filter"])] if layer["filter"] else []
    remarks += ["the kernel is turned around: a true convolution"] if layer["flip"] else []
    remarks += _around(layer["boundary"])
    remarks += [f"{layer['method']}, {layer['why']}"] if layer["method"] else []
    remarks += rule_lines(layer.get("masked"))
    if layer["losses"]:
        remarks.append("loss " + ", ".join(f"{name} {words.number(loss)}" for name, loss in layer["losses"].items()))
    for name, found in layer["constraints"].items():
        fails = "satisfied" if found["satisfied"] else f"not satisfied, by {words.number(found['violation'])}"
        remarks.append(f"{name} constraint {found['constraint']} {fails}")
    return remarks


def _around(boundary: Document | None) -> list[str]:
    """Return what is read around a layer's volume, where that is not zeros."""
    if boundary is None or boundary["text"] == "zero":
        return []
    return [f"boundary {boundary['text']}, scipy's {boundary['scipy']!r}, numpy's {boundary['numpy']!r}"]


def _others(layer: Document) -> list[str]:
    """Return what the other methods would take for a layer, the fastest first, and which are closed to it."""
    ways: dict[str, float] = {}
    for candidate in layer["candidates"]:
        seconds = float("inf") if candidate["refused"] else candidate["predicted_seconds"]
        ways[candidate["method"]] = min(seconds, ways.get(candidate["method"], seconds))
    ways.pop(layer["method"], None)
    open_ways = sorted((seconds, name) for name, seconds in ways.items() if isfinite(seconds))
    parts = {
        "others": [f"{name} {words.duration(seconds)}" for seconds, name in open_ways],
        "closed": [name for name, seconds in ways.items() if not isfinite(seconds)],
    }
    told = "; ".join(f"{name}: {', '.join(names)}" for name, names in parts.items() if names)
    return [f"    {told}"] if told else []


def _filter(made: Document) -> str:
    """Return what a filter made of a layer's kernel."""
    parts = f", parts {' '.join(made['parts'])}" if made["parts"] else ""
    per = "" if made["per"] == "1" else f", per {made['per']}"
    lost = f", {made['lost']:.2g} of it cut off" if made["lost"] else ""
    return f"{words.printable(made['text'])}: {words.lengths(made['size'])} voxels{parts}{per}{lost}"


def _footer(document: Document) -> list[str]:
    lines = [f"note: {note}" for note in document["output"].get("notes", ())]
    for layer in document["layers"]:
        lines += [f"{words.printable(layer['name'])}: {sentence}" for sentence in _remarks(layer)]
        lines += _others(layer) if document["report"] == "conv3d-plan" else []
    threads = f"{document['threads']} thread{'s' if document['threads'] > 1 else ''}"
    machine = f"{threads}, {document['instruction_set']}, {document['compute_dtype']}"
    seconds, memory = document["seconds"], document["memory"]
    if document["report"] == "conv3d-plan":
        needs = f"compute {words.duration(seconds['predicted'])}, arrays {words.size(memory['predicted_bytes'])}"
        return [*lines, f"predicted: {needs}; {machine}"]
    took = ", ".join(f"{stage} {words.duration(seconds[stage])}" for stage in ("read", "compute", "write"))
    peak = f", peak memory {words.size(memory['peak_bytes'])}" if memory["peak_bytes"] else ""
    return [*lines, f"{took}; {machine}{peak}"]
