"""Packages that import their names when they are used: what mypy is told of them is what they do."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from subprocess import run
from types import ModuleType

import pytest

import conv3d_cli
from conv3d_cli.lazily import exports

ROOT = Path(conv3d_cli.__file__).parent
LAZY = sorted(
    path for path in ROOT.rglob("__init__.py") if "conv3d_cli.lazily import exports" in path.read_text("utf-8")
)


def package_of(path: Path) -> str:
    return ".".join(("conv3d_cli", *path.relative_to(ROOT).parts[:-1]))


def told(tree: ast.Module) -> set[tuple[str, str]]:
    """Return module and name of what mypy sees."""
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    found = {(str(line.module), alias) for block in blocks for line in block.body for alias in line.names}
    assert all(alias.asname == alias.name for _, alias in found), "without 'as' mypy hides a name from importers"
    return {(module, alias.name) for module, alias in found}


def done(tree: ast.Module, package: str) -> set[tuple[str, str]]:
    """Return module and name of what happens."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "exports"]
    [homes] = [ast.literal_eval(call.args[1]) for call in calls]
    return {(f"{package}.{module}", name) for module, names in homes.items() for name in names.split()}


@pytest.mark.parametrize("path", LAZY, ids=package_of)
def test_what_mypy_sees_is_what_there_is(path):
    tree, package = ast.parse(path.read_text("utf-8")), package_of(path)
    assert told(tree) == done(tree, package)
    module = import_module(package)
    for home, name in done(tree, package):
        assert getattr(module, name) is getattr(import_module(home), name)
    assert {name for _, name in done(tree, package)} <= set(module.__all__) == set(dir(module))


@pytest.mark.parametrize("path", LAZY, ids=package_of)
def test_no_module_can_take_a_names_place(path):
    modules = {entry.stem for entry in path.parent.iterdir()}
    assert not modules & {name for _, name in done(ast.parse(path.read_text("utf-8")), package_of(path))}


def test_a_name_is_imported_when_it_is_used_and_kept():
    code = (
        "import sys, conv3d_cli.volumes as v; before = 'conv3d_cli.volumes.geometry' in sys.modules; v.Geometry;"
        "print(before, 'conv3d_cli.volumes.geometry' in sys.modules, 'Geometry' in vars(v))"
    )
    assert run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == [
        b"False",
        b"True",
        b"True",
    ]


def test_a_name_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "some", ModuleType("some"))
    get, _, _ = exports("some", {"where": "thing"})
    with pytest.raises(AttributeError, match="module 'some' has no attribute 'thong'"):
        get("thong")
    with pytest.raises(ImportError, match="cannot import name 'thong'"):
        from conv3d_cli.volumes import thong  # noqa: F401
