"""What the machine can do at most, measured in about a third of a second: multiply-adds, reading, copying."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from conv3d_cli.engine import isa
from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.threads import share
from conv3d_cli.frozen import frozen

STEPS = 1 << 20
"""Steps of a chain of multiply-adds: some milliseconds."""

VALUES = 16 << 20
"""Values of an array that lies in memory: 64 MiB, more than the caches of most machines hold."""

REPEATS = 5
LINE = 64  # bytes


@frozen
class Machine:
    """Floating-point operations and bytes a second; None where no compiled kernel can measure them.

    ``bandwidth`` is the better of reading and of copying, which counts what is read and what is written.
    """

    threads: int
    instructions: str
    flops_of_one: float | None = None
    flops: float | None = None
    read: float | None = None
    copy: float | None = None

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second between memory and the cores, at most."""
        return None if self.read is None or self.copy is None else max(self.read, self.copy)

    def seconds(self, flops: float, moved: float) -> float | None:
        """Return the time below which so many operations and bytes cannot be done, by the figures measured."""
        if self.flops is None or self.bandwidth is None:
            return None
        return max(flops / self.flops, moved / self.bandwidth)


def measure_machine(threads: int) -> Machine:
    """Return what this machine does on one thread and on so many, by the kernels of the instruction set in use.

    >>> machine = measure_machine(1)
    >>> machine.flops is None or machine.flops > 1e8
    True
    """
    native, instructions = isa.native(), isa.active()
    if native is None or instructions == isa.NUMPY:
        return Machine(threads, instructions)
    one = _flops(native, instructions, 1)
    source, target = np.ones(VALUES, np.float32), _aligned(VALUES)
    target[:] = 0  # its pages are handed over before they are measured
    parts = [
        slice(i * VALUES // threads // LINE * LINE, (i + 1) * VALUES // threads // LINE * LINE) for i in range(threads)
    ]
    reads = [partial(native.machine_read, instructions, source[part]) for part in parts]
    copies = [partial(native.machine_copy, instructions, source[part], target[part]) for part in parts]
    moved = sum(part.stop - part.start for part in parts) * source.itemsize
    return Machine(
        threads,
        instructions,
        one,
        one if threads == 1 else _flops(native, instructions, threads),
        moved / _best(reads),
        2 * moved / _best(copies),
    )


def _flops(native: Any, instructions: str, threads: int) -> float:
    done = native.machine_multiply_adds(instructions, 1)
    work = partial(native.machine_multiply_adds, instructions, STEPS)
    return float(done * STEPS * threads / _best([work] * threads))


def _best(works: Sequence[Callable[[], object]]) -> float:
    """Return the least seconds in which threads did all of the work, one piece each."""

    def once() -> float:
        left = list(works)

        def work() -> None:
            left.pop()()

        start = time.perf_counter()
        share(work, len(works), stop=lambda: None)
        return time.perf_counter() - start

    return min(once() for _ in range(REPEATS))


def _aligned(values: int) -> Array:
    """Return float32 values that begin a line of the cache."""
    block = np.empty(values * 4 + LINE, np.uint8)
    start = -block.ctypes.data % LINE
    return block[start : start + values * 4].view(np.float32)
