"""Imports go one way: a package may import those of its own row or of rows below, never above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "conv3d_cli"

ROWS = (
    {"__main__"},
    {"cli"},
    {"bids"},
    {"batch"},
    {"runfile"},
    {"bench", "report"},
    {"pipeline", "provenance"},
    {"spec", "weights", "volumes"},
    {"models"},
    {"layers"},
    {"filters"},
    {"masking"},
    {"engine"},
    {"userfiles"},
    {"outfile"},
    {
        "shapes",
        "errors",
        "limits",
        "frozen",
        "heaps",
        "kinds",
        "lazily",
        "named",
        "lengths",
        "telling",
        "paths",
    },
)
HEIGHT = {name: -height for height, row in enumerate(ROWS) for name in row}

CLICK = {"cli"}
PATHS = CLICK | {
    "batch",
    "bids",
    "pipeline",
    "runfile",
    "volumes",
    "weights",
    "spec",
    "models",
    "layers",
    "userfiles",
    "outfile",
    "provenance",
    "limits",
}

MODULES = sorted(ROOT.rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def upward(path: Path) -> set[str]:
    own = HEIGHT[place(path)]
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("conv3d_cli.")}
    return {name for name in ours if name in HEIGHT and HEIGHT[name] > own}


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p.parent != ROOT or p.stem != "__init__"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_imports_go_down(path):
    assert place(path) in HEIGHT, "a new package needs its row"
    assert not upward(path)


def test_an_import_upwards_is_seen(tmp_path, monkeypatch):
    bad = tmp_path / "engine" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("def f():\n    from conv3d_cli.layers import Conv3D\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert upward(bad) == {"layers"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_knows_click_and_only_some_know_paths(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "click" not in roots or place(path) in CLICK
    assert not {"pathlib", "conv3d_cli.paths"} & {*roots, *imports(path)} or place(path) in PATHS
