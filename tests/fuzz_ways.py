"""All the ways in which the engine may serve a problem: other costs, caches and limits make it offer other tiles."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import cache, partial
from types import ModuleType
from unittest import mock

import numpy as np

from conv3d_cli.engine import ACCURACIES, METHODS, Limits, Plan, Problem, isa
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.methods import BOUNDED

ROOM = 1 << 33

KNOBS: dict[str, Callable] = {
    "INLINE_SECONDS": lambda rng: 0.0,
    "INLINE_WEIGHTS": lambda rng: 0,
    "BLOCK_BYTES": lambda rng: 1 << int(rng.integers(16, 23)),
    "STREAM_BYTES": lambda rng: int(rng.choice([0, 1 << 40])),
    "MOST_VOXELS": lambda rng: int(rng.choice([1, 64, 512])),
    "LEAST_VOXELS": lambda rng: int(rng.choice([1, 96])),
    "TILE_LENGTHS": lambda rng: (int(rng.choice([12, 16, 24, 32, 48])),),
    "second_level_cache": lambda rng: partial(int, 1 << int(rng.integers(12, 21))),
}
"""Names of a module of the engine that change how work is cut, never what comes out, and values to draw."""


@cache
def modules() -> list[ModuleType]:
    """Return the modules of the engine; all of them are loaded with it."""
    return [module for name, module in sorted(sys.modules.items()) if name.startswith("conv3d_cli.engine.")]


@cache
def knobs() -> list[tuple[ModuleType, str]]:
    """Return which module has which knob."""
    return [(module, name) for module in modules() for name in KNOBS if hasattr(module, name)]


@cache
def tables() -> list[dict]:
    """Return the tables of costs by instruction set."""
    found = {
        id(value): value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, dict) and set(value) == set(isa.KNOWN) and all(map(is_dataclass, value.values()))
    }
    return list(found.values())


@cache
def decisions() -> list[Callable]:
    """Return the functions that remember what they decided about a problem."""
    found = {value for module in modules() for value in vars(module).values() if hasattr(value, "cache_clear")}
    return [function for function in found if {"problem", "request"} & {*inspect.signature(function).parameters}]


def _forget() -> None:
    for function in decisions():
        function.cache_clear()


def _scaled(costs, rng):
    def scale(value):
        if isinstance(value, dict):
            return {key: scale(each) for key, each in value.items()}
        return value * 10 ** rng.uniform(-1.5, 1.5) if isinstance(value, float) else value

    return replace(costs, **{field.name: scale(getattr(costs, field.name)) for field in fields(costs)})


@contextmanager
def turned(rng, names=tuple(KNOBS), costs: bool = True) -> Iterator[None]:
    """Turn knobs, and let steps seem to cost other than they do, for a while."""
    patches = [mock.patch.object(module, name, KNOBS[name](rng)) for module, name in knobs() if name in names]
    kept = [(table, dict(table)) for table in tables()]
    _forget()
    try:
        for patch in patches:
            patch.start()
        if costs:
            for table, rows in kept:
                table.update({name: _scaled(row, rng) for name, row in rows.items()})
        yield
    finally:
        for table, rows in kept:
            table.update(rows)
        for patch in reversed(patches):
            patch.stop()
        _forget()


def offered(problem: Problem, kernel: Array, method: str, threads: int, rng) -> list[Plan]:
    """Return plans for the ways that a method offers at any accuracy, with all the memory and with next to none."""
    row, inner, found = METHODS[method], problem.in_memory_order(), {}
    turned = np.ascontiguousarray(kernel.transpose(*problem.order, 3, 4))
    for name, memory in [(name, ROOM) for name in ACCURACIES] + [(str(rng.choice(list(ACCURACIES))), 0)]:
        accuracy = ACCURACIES[name]
        if (asked := row.offers or row.proven) is not None:
            candidates = asked(inner, turned, threads, accuracy, memory)
        else:
            candidates = row.candidates(inner, threads, accuracy, memory)
        for way in candidates:
            known = way.way in BOUNDED or not problem.bounded
            if way.refused is None and way.keeps(accuracy) and known:
                plan = Plan(inner, problem, way, (way,), "offered", Limits(threads, ROOM), method, name)
                found.setdefault(repr(way.settings), plan)
    return list(found.values())
