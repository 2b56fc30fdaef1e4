"""Which instruction set the native kernels use: the best that runs here, or the one that CONV3D_ISA names."""

from __future__ import annotations

import importlib
import os
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from conv3d_cli.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

VARIABLE = "CONV3D_ISA"
NUMPY = "numpy"  # no compiled kernel at all
KNOWN = ("x86-64-v4", "x86-64-v3", "x86-64-v2", "generic")


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("conv3d_cli.engine._native"), ""
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            return None, "the native kernels were not built: this is the source folder, or no C++ compiler was found"
        return None, f"the native kernels cannot be loaded: {error}"


@cache
def _runnable(module: ModuleType) -> tuple[str, ...]:
    return tuple(module.runnable())


def native() -> ModuleType | None:
    """Return the module of compiled kernels, or None where the package was installed without a compiler."""
    return _load()[0]


def why_missing() -> str:
    """Return why there are no compiled kernels, or nothing if there are."""
    return _load()[1]


def available() -> tuple[str, ...]:
    """Return the instruction sets that are built and run here, best first; none without kernels."""
    module = native()
    return _runnable(module) if module is not None else ()


def variables(names: tuple[str, ...]) -> tuple[bytes | None, ...]:
    """Return variables of the environment, each or None: what every call looks at, at once and as the system has them.

    >>> variables(("PATH", "NO_SUCH_VARIABLE")) == (os.fsencode(os.environ["PATH"]), None)
    True
    """
    return _reader()(names)


@cache
def _reader() -> Callable[[tuple[str, ...]], tuple[bytes | None, ...]]:
    module = native()
    if module is None:
        return lambda names: tuple(os.fsencode(os.environ[name]) if name in os.environ else None for name in names)
    read: Callable[[tuple[str, ...]], tuple[bytes | None, ...]] = module.variables
    return read


def active(environ: Mapping[str, str] = os.environ) -> str:
    """Return the instruction set in use: the best one, or that of ``CONV3D_ISA``; ``numpy`` without kernels.

    Raises UsageError if ``CONV3D_ISA`` names none, or one that cannot run here.

    >>> active({}) in (*KNOWN, NUMPY)
    True
    >>> active({"CONV3D_ISA": "x86-64-v9"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    conv3d_cli.errors.UsageError: CONV3D_ISA: unknown instruction set: got 'x86-64-v9', expected one of ...
    """
    if environ is os.environ:
        return _active(_load()[0], _reader()((VARIABLE,)))
    return _named(available(), environ.get(VARIABLE, ""))


@lru_cache(maxsize=16)
def _active(module: ModuleType | None, asked: tuple[bytes | None, ...]) -> str:
    """Return what ``active`` does, by all that it depends on."""
    return _named(() if module is None else _runnable(module), os.fsdecode(asked[0] or b""))


def _named(names: tuple[str, ...], asked: str) -> str:
    if not asked:
        return names[0] if names else NUMPY
    if asked not in KNOWN:
        raise UsageError(
            f"{VARIABLE}: unknown instruction set: got {asked!r}, expected one of {', '.join(KNOWN)}"
            f"{nearest(asked, KNOWN)}"
        )
    if asked not in names:
        found = ", ".join(names) or f"none ({why_missing()})"
        raise UsageError(f"{VARIABLE}: this machine or build cannot run it: got {asked!r}, expected one of {found}")
    return asked
