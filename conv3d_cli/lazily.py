"""Packages whose names are imported when they are first used, so that a command starts with what it needs alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package (PEP 562).

    ``homes`` maps a module of the package to the names of it that the package offers, with spaces between them. A name
    that a module has too cannot be among them: once that is imported, it is what the package has by this name.

    >>> get, listed, names = exports("conv3d_cli.outfile", {"names": "check_target check_apart", "whole": "replacing"})
    >>> names, get("replacing").__module__
    (['check_apart', 'check_target', 'replacing'], 'conv3d_cli.outfile.whole')
    """
    module_of = {name: module for module, names in homes.items() for name in names.split()}
    own = sys.modules[package]

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{module_of[name]}"), name)
        setattr(own, name, value)
        return value

    names = sorted(module_of)
    return get, lambda: names, names
