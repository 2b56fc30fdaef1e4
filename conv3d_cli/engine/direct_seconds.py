"""What a direct convolution takes in each of many ways to cut it into blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from conv3d_cli.engine.direct_costs import MEMORY_THREADS, Costs
from conv3d_cli.engine.direct_slab import Axis, columns_of, lined, pitches
from conv3d_cli.engine.problem import ITEMSIZE, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts: TypeAlias = NDArray[np.int64]

PIECE = 0.1e-6  # seconds for a row of a block that is part of a row: memory is read and written in short runs
NEAR = 1.5  # halves of the second-level cache that a slab may take beside outputs and weights
FAR = 2.0  # how much slower a tile is whose slab lies outside of the second-level cache


class Cuts(NamedTuple):
    """One axis of many ways to cut a problem: arrays with an entry for each."""

    outputs: int
    block: Counts
    blocks: Counts
    extent: Counts
    bands: Counts

    @classmethod
    def of(cls, axes: Sequence[Axis]) -> Cuts:
        """Return the cuts along an axis."""
        rows = np.array([(a.block, a.blocks, a.extent, len(a.bands)) for a in axes])
        return cls(axes[0].outputs, *rows.T)

    def mean(self, items: Counts, threads: int) -> NDArray[np.float64]:
        """Return the outputs of a block, which may be smaller at the end of an axis: their mean if blocks are many."""
        return np.where(items <= threads, self.block, self.outputs / self.blocks)

    def entries(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the entries of the slab that so many outputs read, on average."""
        return self.extent - self.bands * (self.block - outputs)


def seconds_of(
    problem: Problem,
    lanes: int,
    cuts: tuple[Cuts, ...],
    channel_chunk: int,
    filter_chunk: int,
    threads: int,
    room: int,
    planar: bool,
    costs: Costs,
) -> NDArray[np.float64]:
    """Return the predicted seconds of each way to cut a problem."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    itemsize, written = ITEMSIZE[problem.dtype], min(filter_chunk, filters)
    row, _, slab = pitches(cuts[2].extent, cuts[1].extent, cuts[0].extent, lanes, itemsize)
    items = cuts[0].blocks * cuts[1].blocks * cuts[2].blocks
    items = items * (problem.batch * problem.groups * -(-filters // filter_chunk))
    kind = "column" if filters == 1 and columns_of(problem) else str(min(1 << (filters.bit_length() - 1), 8))
    used = np.minimum(threads, items)
    depth, height, across = (cut.mean(items, threads) for cut in cuts)
    rows = depth * height * np.ceil(across / lanes)
    fmas = rows * (problem.taps * channels * written)
    packed = cuts[0].entries(depth) * cuts[1].entries(height) * row
    far = np.where(slab * channel_chunk > room * NEAR, FAR, 1.0)
    pieces = channels * cuts[0].extent * cuts[1].extent + written * cuts[0].block * cuts[1].block
    per_item = (
        costs.fma[kind] * fmas * far
        + costs.store * rows * written * -(-channels // channel_chunk)
        + costs.pack * packed * channels * (itemsize / 4)
        + PIECE * np.where(cuts[2].blocks == 1, 0, pieces)  # rows that are parts of longer ones
        + costs.item
    )
    if not planar:
        _, _, out = pitches(lined(cuts[2].block, lanes), cuts[1].block, cuts[0].block, lanes, itemsize)
        kept = costs.unpack * filter_chunk * depth * height * across
        per_item += kept * np.where(out * filter_chunk > room, FAR, 1.0)
    memory = (problem.input_bytes + problem.output_bytes) * costs.byte
    started = np.where(used > 1, costs.threads * used, 0.0)
    seconds: NDArray[np.float64] = per_item * -(-items // used) + memory / np.minimum(used, MEMORY_THREADS) + started
    return seconds
