"""Two pictures of the measurements: ratios to the fastest peer by region, and a roofline."""

from __future__ import annotations

import pathlib
from itertools import product
from math import atan2, degrees, hypot
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from conv3d_cli.bench import REGIONS, parse_case

Document = dict[str, Any]

PLOTS = ("ratios.svg", "roofline.svg")

# Colours that people who see few of them can tell apart (Okabe and Ito), and a mark for each besides.
INK, GRID_INK, LOST = "#222222", "#d9d9d9", "#fbe9e2"
THREADS = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
METHODS = {
    "direct": ("#0072B2", "o"),
    "winograd": ("#D55E00", "^"),
    "toom": ("#56B4E9", "v"),
    "fft": ("#009E73", "s"),
    "separable": ("#CC79A7", "D"),
    "pointwise": ("#E69F00", "P"),
}
STYLE = {
    "font.size": 11,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "conv3d",
}
DIRECTIONS = ((0, 1), (0, -1), (1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (1, 1), (-1, 1), (1, -1), (-1, -1))


def draw(document: Document, folder: pathlib.Path) -> None:
    """Write the pictures into a folder."""
    with plt.rc_context(STYLE):
        for name, picture in zip(PLOTS, (_ratios(document), _roofline(document)), strict=True):
            picture.savefig(folder / name, bbox_inches="tight", metadata={"Date": None})
            plt.close(picture)


def _ratios(document: Document) -> Any:
    """Return a picture with a line for each region and a mark for each cell."""
    rows = [row for row in document["rows"] if row["ratio"] is not None and row["region"] is not None]
    regions = [region for region in REGIONS if any(row["region"] == region.name for row in rows)]
    threads = sorted({row["threads"] for row in rows})
    figure, axes = plt.subplots(figsize=(9.5, 1.6 + 0.62 * max(len(regions), 1)))
    axes.set_xscale("log")
    for line, region in enumerate(regions):
        _goal(axes, line, region.target, "-", 3.0, "target" if line == 0 else None)
        if region.moonshot is not None:
            named = all(before.moonshot is None for before in regions[:line])
            _goal(axes, line, region.moonshot, ":", 2.2, "moonshot" if named else None)
        for number, count in enumerate(threads):
            own = sorted(r["ratio"] for r in rows if r["region"] == region.name and r["threads"] == count)
            place = line + (number - (len(threads) - 1) / 2) * 0.3
            colour, mark = THREADS[number % len(THREADS)]
            label = f"{count} thread{'s' * (count > 1)}" if line == 0 else None
            axes.plot(own, [place] * len(own), mark, color=colour, ms=7, alpha=0.75, mec="white", mew=0.6, label=label)
            if own:
                axes.plot([median(own)], [place], "|", color=INK, ms=13, mew=1.6, zorder=5)
    axes.axvline(1, color=INK, lw=1)
    low = min([0.5, *(row["ratio"] * 0.85 for row in rows)])
    axes.axvspan(low, 1, color=LOST, zorder=0)
    axes.set_xlim(low, max([10, *(row["ratio"] * 1.2 for row in rows)]))
    axes.set_ylim(len(regions) - 0.45, -0.55)
    axes.set_yticks(range(len(regions)), [_raised(region.name) for region in regions])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.set_xticks([t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64) if low <= t <= axes.get_xlim()[1]])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID_INK, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("times as fast as the fastest peer (shaded: slower); the thin stroke is the median")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=4, frameon=False, handletextpad=0.5)
    return figure


def _goal(axes: Axes, line: int, value: float, style: str, width: float, label: str | None) -> None:
    axes.plot([value, value], [line - 0.4, line + 0.4], style, color="#555555", lw=width, zorder=1, label=label)


def _roofline(document: Document) -> Any:
    """Return a picture of speeds by arithmetic intensity, under what the machine can do at most."""
    limit = max(document["limits"], key=lambda limit: limit["threads"])
    rows = [row for row in document["rows"] if row["threads"] == limit["threads"]]
    figure, axes = plt.subplots(figsize=(13, 9))
    axes.set_xscale("log")
    axes.set_yscale("log")
    marks: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in METHODS}
    for row in rows:
        for name, method in row["methods"].items():
            if name in marks:
                speed = row["flops"] / method["best_ms"] / 1e6
                marks[name].append((row["flops"] / row["bytes"], speed, name == row["method"]))
    for name, points in marks.items():
        colour, mark = METHODS[name]
        for chosen in (False, True):
            own = [(x, y) for x, y, is_chosen in points if is_chosen == chosen]
            face = colour if chosen else "none"
            label = name if chosen and own else None
            axes.plot(
                *zip(*own, strict=True), mark, color=colour, mfc=face, ms=7 if chosen else 5, mew=1.1, label=label
            ) if own else None
    xs = [x for points in marks.values() for x, _, _ in points] or [1.0]
    ys = [y for points in marks.values() for _, y, _ in points] or [1.0]
    axes.set_xlim(min(xs) / 2, max(xs) * 2)
    axes.set_ylim(min(ys) / 1.6, max(ys) * 1.9)
    if limit["gflops"] is not None:
        _roof(axes, limit)
    axes.grid(color=GRID_INK, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("floating-point operations of the defining sum by byte of input, weights and output")
    axes.set_ylabel(f"GFLOP/s on {limit['threads']} thread{'s' * (limit['threads'] > 1)}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="lower right", frameon=False, title="filled: chosen by the engine", alignment="left")
    _name_points(axes, rows)
    return figure


def _roof(axes: Axes, limit: Document) -> None:
    """Draw the peak of multiply-adds, and what memory lets through."""
    low, high = axes.get_xlim()
    peak, bandwidth = limit["gflops"], max(limit["read_gb"], limit["copy_gb"])
    ridge = peak / bandwidth
    axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=INK, lw=1.6, zorder=1)
    axes.annotate(
        f"multiply-adds: {peak:.0f} GFLOP/s",
        (high, peak),
        (-6, 4),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=10,
    )
    x = max(low, axes.get_ylim()[0] / bandwidth) * 1.1
    (x0, y0), (x1, y1) = axes.transData.transform([(1, 1), (10, 10)])
    angle = degrees(atan2(y1 - y0, x1 - x0))
    axes.annotate(
        f"memory: {bandwidth:.0f} GB/s",
        (x, x * bandwidth),
        (-8, 4),
        textcoords="offset points",
        rotation=angle,
        fontsize=10,
    )


def _name_points(axes: Axes, rows: list[Document]) -> None:
    """Write at the chosen method's fastest point of each kind of layer what it is, wherever there is room.

    What is most apart from the others is named first; a thin line leads to a point that is farther away.
    """
    best: dict[str, tuple[float, float]] = {}
    for row in rows:
        kind = _kind(row["case"])
        if kind not in best or row["gflops"] > best[kind][1]:
            best[kind] = (row["flops"] / row["bytes"], row["gflops"])
    axes.figure.canvas.draw()
    inside, legend = axes.get_window_extent(), axes.get_legend()
    taken = [text.get_window_extent() for text in axes.texts] + ([legend.get_window_extent()] if legend else [])
    for line in axes.lines:
        half = 0.75 * line.get_markersize() if line.get_marker() != "None" else 1.0
        path = Path(axes.transData.transform(line.get_xydata()))
        for x, y in path.vertices if half > 1 else path.interpolated(100).vertices:
            taken.append(Bbox([[x - half, y - half], [x + half, y + half]]))
    places = {kind: axes.transData.transform(place) for kind, place in best.items()}

    def apart(kind: str) -> float:
        x, y = places[kind]
        return min((hypot(x - u, y - v) for other, (u, v) in places.items() if other != kind), default=0.0)

    for kind in sorted(best, key=apart, reverse=True):
        for reach, (right, up) in product((11, 17, 25, 34, 44), DIRECTIONS):
            text: Annotation = axes.annotate(
                kind,
                best[kind],
                (reach * right, reach * up),
                textcoords="offset points",
                ha={1: "left", 0: "center", -1: "right"}[round(right)],
                va="center",
                fontsize=9,
                arrowprops={"arrowstyle": "-", "color": "#888888", "lw": 0.6, "shrinkA": 0, "shrinkB": 4},
            )
            text.get_window_extent()  # sets where the text stands; what it returns holds the line too
            box = Text.get_window_extent(text).padded(1.0)
            free = not any(box.overlaps(other) for other in taken)
            if free and inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1:
                taken.append(box)
                break
            text.remove()


def _kind(name: str) -> str:
    """Return a case without its voxels, which hardly change where it stands."""
    case = parse_case(name)
    return _raised(" ".join(word for i, word in enumerate(case.name.split()) if i != 1))


def _raised(name: str) -> str:
    return name.replace("^3", "³").replace("->", "→")
