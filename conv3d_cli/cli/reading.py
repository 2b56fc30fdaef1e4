"""How the voxels of the input come into memory: while the run is planned, where its words alone tell as what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from conv3d_cli.later import Later
from conv3d_cli.limits import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conv3d_cli.pipeline import RunPlan
    from conv3d_cli.volumes import Source
    from conv3d_cli.volumes.values import Values


class Reading:
    """The voxels of an open volume, which are on their way already if they are read ahead."""

    def __init__(self, volume: Source, ahead: Later[NDArray[Any]] | None) -> None:
        self.volume, self.ahead = volume, ahead
        self.seconds = 0.0
        self._looking: Later[Values] | None = None

    def look(self) -> None:
        """Begin to look at the values of what is read ahead: the modules for that are there now."""
        from conv3d_cli.volumes.values import scan

        ahead = self.ahead
        if ahead is not None:
            self._looking = Later(lambda: scan(ahead.result()))

    def voxels(self, plan: RunPlan) -> NDArray[Any]:
        """Return all voxels, once; raises what reading them raises. ``seconds`` is how long it took from now."""
        start = perf_counter()
        memory = plan.options.limits.memory
        if self._looking is not None:
            self._looking.wait()  # or it would find nothing to look at
        array = self.volume.read(plan.dtype, memory) if self.ahead is None else self.ahead.take()
        self.seconds = perf_counter() - start
        return array

    def values(self, array: NDArray[Any], threads: int) -> Values:
        """Return the values of what was read."""
        from conv3d_cli.volumes.values import scan

        return scan(array, threads) if self._looking is None else self._looking.result()


@contextmanager
def reading(volume: Source, words: dict[str, Any], early: bool) -> Iterator[Reading]:
    """Give what reads a volume, ahead if that may begin so ``early``; a thread that is at it ends with the block."""
    dtype = words["compute_dtype"] or ("float32" if words["filters"] else None)  # else the layers will tell
    # A pipe may keep its reader waiting for ever.
    if not early or dtype is None or words["dry_run"] or volume.hashing is not None:
        yield Reading(volume, None)
        return
    memory = Limits.detect(words["threads"], words["max_memory"]).memory
    size = prod(volume.shape) * np.dtype(dtype).itemsize
    # Without room for an output as large the run may have to be refused, and that before a voxel is read.
    if size + max(size, volume.extra_bytes(np.dtype(dtype))) > memory:
        yield Reading(volume, None)
        return
    ahead = Later(lambda: volume.read(dtype, memory))
    try:
        yield Reading(volume, ahead)
    finally:
        volume.give_up()
        ahead.wait()
