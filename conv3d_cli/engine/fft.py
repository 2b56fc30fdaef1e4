"""The method ``fft``: overlap-save tiles, or the whole volume at once, through scipy.fft.

A tile of length T along an axis holds T - extent + 1 outputs: the product of the tile's spectrum with the conjugate of
the kernel's is a circular correlation, which is the wanted one at every position where the kernel does not wrap round.
Tiles are transformed in the problem's own precision, so a bright voxel disturbs its tile and nothing beyond; one
transform of a whole volume is always in float64. Strided outputs are taken from those of stride 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, log2

import numpy as np

from conv3d_cli.engine import costs
from conv3d_cli.engine.blocks import Array, Span, blocks, padded_window
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.problem import ITEMSIZE, Problem, Real
from conv3d_cli.engine.threads import Pieces, share
from conv3d_cli.shapes import Triple, effective, voxels

TILE_LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)

LARGEST = {"float32": 1e37, "float64": 1e307}
"""A bound on any value inside a transform; beyond it infinities would arise that the sum itself does not have."""


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return the fastest tiling that fits in ``memory`` bytes (else the leanest), and the whole volume at once."""
    whole = _whole(problem)
    tiles = sorted({tile for length in TILE_LENGTHS if (tile := _tile(problem, length)) != whole})
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


def unsuitable(problem: Problem, x: Array, kernel: Array) -> str | None:
    """Return why this data may not go through a transform, or None: one NaN would spread over a whole tile."""
    return _not_finite("input", x) or _not_finite("kernel", kernel) or _too_large(problem, x, kernel)


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    tile: Triple,
    transform: Real,
    threads: int,
    tick: Callable[[float], None] | None = None,
) -> None:
    """Fill ``out`` with the convolution of ``x``, which must be free of NaN and Inf; shapes are the problem's."""
    if transform == "float32" and _amplitude(x) * _gain(problem, kernel) * voxels(tile) > LARGEST["float32"]:
        transform = "float64"
    dense = _dense(problem)
    step = _outputs(dense, tile)
    spans = list(blocks(dense.output_size, step))
    total = len(spans) * problem.batch * problem.groups
    inner = 1 if total >= threads else threads
    done: list[None] = []
    for group in range(problem.groups):
        transforms = _Transforms.of(problem, kernel, group, tile, transform, inner)
        pieces = Pieces(product(range(problem.batch), spans))

        def work(
            transforms: _Transforms = transforms, pieces: Pieces[tuple[int, tuple[Span, Span, Span]]] = pieces
        ) -> None:
            with np.errstate(over="ignore"):
                for n, span in pieces:
                    transforms.fill(x[n], bias, out[n], span)
                    done.append(None)

        outer = 1 if inner > 1 else min(threads, problem.batch * len(spans))
        share(work, outer, stop=pieces.close, tick=tick and (lambda: tick(len(done) / total)))


@dataclass(frozen=True)
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
        from scipy import fft

        channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
        complex_type = np.complex64 if transform == "float32" else np.complex128
        spectra = np.empty((filters, channels, *tile[:2], tile[2] // 2 + 1), complex_type)
        spread = np.zeros(tile, transform)
        where = tuple(slice(0, effective(k, d), d) for k, d in zip(problem.kernel, problem.dilation, strict=True))
        for f, c in np.ndindex(filters, channels):
            spread[where] = kernel[..., c, group * filters + f]
            np.conjugate(fft.rfftn(spread, workers=workers), out=spectra[f, c])
        return cls(problem, group, tile, transform, spectra, workers)

    def fill(self, x: Array, bias: Array | None, out: Array, span: tuple[Span, Span, Span]) -> None:
        """Compute one tile of one group for one item of the batch; ``span`` counts outputs of stride 1."""
        filters, channels = self.spectra.shape[:2]
        mine = x[self.group * channels : (self.group + 1) * channels]
        block = padded_window(_dense(self.problem), mine, span, self.transform, self.tile)
        source = list(self._forward(block))
        total, term = np.empty_like(source[0]), np.empty_like(source[0])
        take, put = _strided(span, self.problem.strides)
        if any(s.start >= s.stop for s in put):
            return
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


def _dense(problem: Problem) -> Problem:
    """Return the same problem with stride 1, over just the input that the strided outputs read."""
    return replace(problem, strides=(1, 1, 1))


def _strided(span: tuple[Span, Span, Span], strides: Triple) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return which outputs of a stride-1 tile a strided output keeps, and where they go."""
    first = [-(-lo // s) for (lo, _), s in zip(span, strides, strict=True)]
    last = [-(-hi // s) for (_, hi), s in zip(span, strides, strict=True)]
    take = tuple(slice(f * s - lo, hi - lo, s) for f, s, (lo, hi) in zip(first, strides, span, strict=True))
    return take, tuple(slice(f, e) for f, e in zip(first, last, strict=True))


def _outputs(problem: Problem, tile: Triple) -> Triple:
    """Return the outputs of stride 1 that one tile yields along each axis."""
    d, h, w = (t - effective(k, r) + 1 for t, k, r in zip(tile, problem.kernel, problem.dilation, strict=True))
    return d, h, w


def _whole(problem: Problem) -> Triple:
    d, h, w = (fast_length(max(n + sum(p), 1)) for n, p in zip(problem.size, problem.padding, strict=True))
    return d, h, w


def _tile(problem: Problem, length: int) -> Triple:
    extents = [effective(k, d) for k, d in zip(problem.kernel, problem.dilation, strict=True)]
    d, h, w = (
        min(whole, fast_length(max(length, extent + 7))) for whole, extent in zip(_whole(problem), extents, strict=True)
    )
    return d, h, w


def fast_length(n: int) -> int:
    """Return the smallest length of at least ``n`` with no prime factor above 5, which transforms fast.

    >>> [fast_length(n) for n in (1, 7, 17, 121, 257)]
    [1, 8, 18, 125, 270]
    """
    best = 1 << max(n - 1, 0).bit_length()
    for fives in range(ceil(log2(best) / log2(5)) + 1):
        for threes in range(ceil(log2(best) / log2(3)) + 1):
            odd = 5**fives * 3**threes
            length = odd << max(0, (-(-n // odd) - 1).bit_length())
            if n <= length < best:
                best = length
    return best


def _candidate(problem: Problem, tile: Triple, transform: Real, threads: int) -> Candidate:
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    points, dense = voxels(tile), _dense(problem)
    outputs = _outputs(dense, tile)
    count = voxels(tuple(ceil(max(n, 1) / m) for n, m in zip(dense.output_size, outputs, strict=True)))
    one = costs.transform_seconds(points, transform)
    tile_seconds = (channels + filters) * (
        one + costs.move_seconds(points, transform)
    ) + filters * channels * costs.spectrum_seconds(points, transform)
    pieces = count * problem.batch * problem.groups
    if pieces >= threads:
        rounds = ceil(pieces / threads) * threads / costs.speedup(threads)
    else:
        rounds = pieces / costs.speedup(threads, costs.WORKER_GAIN)
    spectrum = voxels((*tile[:2], tile[2] // 2 + 1)) * 2 * ITEMSIZE[transform]
    real = points * ITEMSIZE[transform]
    per_tile = channels * (real + spectrum) + 4 * spectrum + 2 * real
    is_whole = tile == _whole(problem)
    return Candidate(
        "fft",
        seconds=filters * problem.channels * one + rounds * tile_seconds + costs.THREADS_START,
        scratch_bytes=filters * channels * spectrum + per_tile * min(threads, max(pieces, 1)),
        error=1e-6 if transform == "float32" else 1e-7,
        local=transform == "float64",
        detail=f"{'whole volume' if is_whole else 'tiles'} of {'x'.join(map(str, tile))}, {transform} transforms",
        tile=tile,
        transform=transform,
    )


def _amplitude(x: Array) -> float:
    return float(max(abs(np.max(x, initial=0)), abs(np.min(x, initial=0))))


def _gain(problem: Problem, kernel: Array) -> float:
    return float(np.abs(kernel).sum(axis=(0, 1, 2, 3), dtype=np.float64).max(initial=0.0))


def _not_finite(what: str, values: Array) -> str | None:
    if np.isfinite(np.max(values, initial=0)) and np.isfinite(np.min(values, initial=0)):
        return None
    bad = ~np.isfinite(values)
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    return f"{np.count_nonzero(bad)} non-finite values in the {what}, the first at index {first}"


def _too_large(problem: Problem, x: Array, kernel: Array) -> str | None:
    largest = _amplitude(x) * _gain(problem, kernel) * float(voxels(_whole(problem)))
    if largest <= LARGEST["float64"]:
        return None
    return f"values so large that a transform may overflow: up to {_amplitude(x):.3g}"
