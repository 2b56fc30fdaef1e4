"""The method ``fft``: overlap-save tiles, compiled ones or through scipy.fft, or the whole volume at once.

A tile of length T along an axis holds T - extent + 1 outputs: the product of the tile's spectrum with the conjugate of
the kernel's is a circular correlation, which is the wanted one at every position where the kernel does not wrap round.
Tiles are transformed in the problem's own precision, so a bright voxel disturbs its tile and nothing beyond; one
transform of a whole volume is always in float64. Through scipy.fft, strided outputs are taken from those of stride 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import ceil

import numpy as np

from conv3d_cli.engine import costs, fft_long, fft_tiles
from conv3d_cli.engine.blocks import Array, Span, blocks, padded_window
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.magnitude import brightest
from conv3d_cli.engine.problem import ITEMSIZE, Problem, Real
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.engine.tiles import (
    TILE_LENGTHS,
    Sharing,
    dense_problem,
    outputs_of,
    strided_places,
    tile_at_least,
    tile_of,
    whole_tile,
)
from conv3d_cli.frozen import frozen
from conv3d_cli.shapes import Triple, effective, voxels

LARGEST = {"float32": 1e37, "float64": 1e307}
"""A bound on any value inside a transform; beyond it infinities would arise that the sum itself does not have."""


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest tilings that fit in ``memory`` bytes (else the leanest), and the whole volume at once.

    There are three tilings at most: one of compiled tiles, one of compiled long ones, one through scipy.fft.
    """
    offers = (fft_tiles.candidates, fft_long.candidates, _scipy)
    return [candidate for offer in offers for candidate in offer(problem, threads, accuracy, memory)]


def _scipy(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    whole = whole_tile(problem)
    tiles = sorted({tile for length in TILE_LENGTHS if (tile := tile_of(problem, length)) != whole})
    transforms: tuple[Real, ...] = ("float64",) if problem.dtype == "float64" else ("float32", "float64")
    tiled = [_candidate(problem, tile, transform, threads) for tile in tiles for transform in transforms]
    allowed = [c for c in tiled if c.keeps(accuracy)]
    fitting = [c for c in allowed if c.scratch_bytes <= memory]
    best = (
        [min(fitting, key=lambda c: c.seconds)]
        if fitting
        else [min(allowed, key=lambda c: c.scratch_bytes)]
        if allowed
        else []
    )
    return [*best, _candidate(problem, whole, "float64", threads)]


def unsuitable(problem: Problem, x: Array, kernel: Array, threads: int = 1) -> str | None:
    """Return why this data may not go through a transform, or None: one NaN would spread over a whole tile."""
    bright = brightest(problem, x, threads)
    if bright * _gain(problem, kernel) * float(voxels(whole_tile(problem))) <= LARGEST["float64"]:
        return None
    too_large = f"values so large that a transform may overflow: up to {bright:.3g}"
    return not_finite("input", x) or not_finite("kernel", kernel) or too_large


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    tile: Triple,
    transform: Real,
    native: bool = False,
    long: bool = False,
    threads: int,
    tick: Callable[[float], None] | None = None,
) -> None:
    """Fill ``out`` with the convolution of ``x``, which must be free of NaN and Inf; shapes are the problem's."""
    if transform == "float32":
        amplitude, gain = brightest(problem, x, threads), _gain(problem, kernel)
        if native and fft_tiles.largest(tile, amplitude, gain) <= LARGEST["float32"]:
            compiled = fft_long if long else fft_tiles
            compiled.run(problem, x, kernel, bias, out, tile=tile, threads=threads, tick=tick)
            return
        if native:  # compiled tiles may be shorter than the kernel, where all that is beyond them is padding
            tile = tile_at_least(problem, tile)
        if amplitude * gain * voxels(tile) > LARGEST["float32"]:
            transform = "float64"
    dense = dense_problem(problem)
    spans = list(blocks(dense.output_size, outputs_of(dense, tile)))
    each = len(spans) * problem.batch
    sharing = Sharing.of(problem.groups, each, threads)
    done: list[None] = []
    groups = Pieces(range(problem.groups))

    def report() -> None:
        if tick is not None:
            tick(len(done) / (each * problem.groups))

    def prepared(group: int) -> tuple[Callable[[], None], Callable[[], None]]:
        """Transform the kernels of a group; return what fills its tiles, and what ends that."""
        transforms = _Transforms.of(problem, kernel, group, tile, transform, sharing.within)
        pieces = Pieces(product(range(problem.batch), spans))

        def work() -> None:
            with np.errstate(over="ignore"):
                for n, span in pieces:
                    transforms.fill(x[n], bias, out[n], span)
                    done.append(None)

        return work, pieces.close

    def side_by_side() -> None:
        for group in groups:
            prepared(group)[0]()

    if sharing.groups > 1:
        share(side_by_side, sharing.groups, stop=groups.close, tick=report)
        return
    for group in groups:
        work, close = prepared(group)
        share(work, min(sharing.tiles, each), stop=close, tick=report)


@frozen
class _Transforms:
    """The transformed kernels of one group, and how a tile goes through them."""

    problem: Problem
    group: int
    tile: Triple
    transform: Real
    spectra: Array
    workers: int

    @classmethod
    def of(
        cls, problem: Problem, kernel: Array, group: int, tile: Triple, transform: Real, workers: int
    ) -> _Transforms:
        filters = problem.filters // problem.groups
        mine = np.ascontiguousarray(kernel[..., group * filters : (group + 1) * filters])
        spectra = KERNELS.get(
            ("fft", tile, transform, problem.dilation),
            mine,
            lambda: _spectra(problem, mine, tile, transform, workers),
            size=lambda made: made.nbytes,
        )
        return cls(problem, group, tile, transform, spectra, workers)

    def fill(self, x: Array, bias: Array | None, out: Array, span: tuple[Span, Span, Span]) -> None:
        """Compute one tile of one group for one item of the batch; ``span`` counts outputs of stride 1."""
        filters, channels = self.spectra.shape[:2]
        take, put = strided_places(span, self.problem.strides)
        if any(s.start >= s.stop for s in put):
            return
        mine = x[self.group * channels : (self.group + 1) * channels]
        block = padded_window(dense_problem(self.problem), mine, span, self.transform, self.tile)
        source = list(self._forward(block))
        total, term = np.empty_like(source[0]), np.empty_like(source[0])
        for f in range(filters):
            np.multiply(source[0], self.spectra[f, 0], out=total)
            for c in range(1, channels):
                np.multiply(source[c], self.spectra[f, c], out=term)
                total += term
            place = self.group * filters + f
            result = self._backward(total)[take]
            if bias is not None:
                result = result + bias[place]
            out[(place, *put)] = result

    def _forward(self, block: Array) -> Iterator[Array]:
        from scipy import fft

        for channel in block:
            yield fft.rfftn(channel, workers=self.workers)

    def _backward(self, spectrum: Array) -> Array:
        from scipy import fft

        result: Array = fft.irfftn(spectrum, s=self.tile, workers=self.workers, overwrite_x=True)
        return result


def _spectra(problem: Problem, kernel: Array, tile: Triple, transform: Real, workers: int) -> Array:
    """Return the conjugates of the spectra of a group's kernels: (filters, channels, *frequencies)."""
    from scipy import fft

    channels, filters = kernel.shape[3:]
    complex_type = np.complex64 if transform == "float32" else np.complex128
    spectra = np.empty((filters, channels, *tile[:2], tile[2] // 2 + 1), complex_type)
    spread = np.zeros(tile, transform)
    where = tuple(slice(0, effective(k, d), d) for k, d in zip(problem.kernel, problem.dilation, strict=True))
    for f, c in np.ndindex(filters, channels):
        spread[where] = kernel[..., c, f]
        np.conjugate(fft.rfftn(spread, workers=workers), out=spectra[f, c])
    return spectra


def _candidate(problem: Problem, tile: Triple, transform: Real, threads: int) -> Candidate:
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    points, dense = voxels(tile), dense_problem(problem)
    outputs = outputs_of(dense, tile)
    count = voxels(tuple(ceil(max(n, 1) / m) for n, m in zip(dense.output_size, outputs, strict=True)))
    one = costs.transform_seconds(points, transform)
    tile_seconds = (channels + filters) * (
        one + costs.move_seconds(points, transform)
    ) + filters * channels * costs.spectrum_seconds(points, transform)
    each = count * problem.batch
    sharing = Sharing.of(problem.groups, each, threads)
    group_seconds = filters * channels * one
    if sharing.within > 1:
        group_seconds += each * tile_seconds / costs.speedup(threads, costs.WORKER_GAIN)
    else:
        group_seconds += _rounds(each, sharing.tiles) * tile_seconds
    starts = 1 if sharing.groups > 1 else problem.groups
    spectrum = voxels((*tile[:2], tile[2] // 2 + 1)) * 2 * ITEMSIZE[transform]
    real = points * ITEMSIZE[transform]
    gathered = channels * real if problem.bounded and not problem.boundary.is_constant else 0  # in ``padded_window``
    per_tile = channels * (real + spectrum) + 4 * spectrum + 2 * real + gathered
    spectra = filters * channels * spectrum
    # Those of groups that are done are kept while the next ones are computed.
    others = min((problem.groups - sharing.groups) * spectra, KERNELS.room) if spectra <= KERNELS.room else 0
    is_whole = tile == whole_tile(problem)
    return Candidate(
        "fft",
        seconds=group_seconds * _rounds(problem.groups, sharing.groups) + costs.THREADS_START * starts,
        scratch_bytes=(spectra + per_tile * sharing.tiles) * sharing.groups + others,
        error=1e-6 if transform == "float32" else 1e-7,
        local=transform == "float64",
        detail=f"{'whole volume' if is_whole else 'tiles'} of {'x'.join(map(str, tile))}, {transform} transforms",
        tile=tile,
        transform=transform,
    )


def _rounds(pieces: int, threads: int) -> float:
    """Return how many pieces one thread would do in the time in which so many threads do them all."""
    return ceil(pieces / threads) * threads / costs.speedup(threads)


def _gain(problem: Problem, kernel: Array) -> float:
    return float(np.abs(kernel).sum(axis=(0, 1, 2, 3), dtype=np.float64).max(initial=0.0))


def not_finite(what: str, values: Array) -> str | None:
    """Return how many values of an array are NaN or infinite, and where the first is, in words; None if none is."""
    if np.isfinite(np.max(values, initial=0)) and np.isfinite(np.min(values, initial=0)):
        return None
    count, first = 0, None
    for index in np.ndindex(values.shape[:-2]):  # a plane at a time: memory was planned for other things
        bad = ~np.isfinite(values[index])
        if first is None and bad.any():
            first = (*index, *(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape)))
        count += int(np.count_nonzero(bad))
    return f"{count} non-finite values in the {what}, the first at index {first}"
