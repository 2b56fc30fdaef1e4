"""Tiles of a transform: their lengths, the outputs that each yields, and how threads share them."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log2

from conv3d_cli.engine.blocks import Span
from conv3d_cli.engine.problem import Problem
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.shapes import Triple, effective

TILE_LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@frozen
class Sharing:
    """How threads share a convolution; one of the three has all threads and the others one.

    ``groups`` are computed side by side, ``tiles`` of one group side by side, ``within`` one transform at once.
    """

    groups: int = 1
    tiles: int = 1
    within: int = 1

    @classmethod
    def of(cls, groups: int, tiles: int, threads: int) -> Sharing:
        """Return the way for so many groups, of so many tiles each, that keeps all threads at work.

        >>> Sharing.of(groups=1, tiles=8, threads=4), Sharing.of(groups=8, tiles=1, threads=4)
        (Sharing(groups=1, tiles=4, within=1), Sharing(groups=4, tiles=1, within=1))
        >>> Sharing.of(groups=1, tiles=1, threads=4)
        Sharing(groups=1, tiles=1, within=4)
        """
        if tiles >= threads:
            return cls(tiles=threads)
        return cls(groups=threads) if groups >= threads else cls(within=threads)


def dense_problem(problem: Problem) -> Problem:
    """Return the same problem with stride 1, over just the input that the strided outputs read."""
    return replace(problem, strides=(1, 1, 1))


def strided_places(span: tuple[Span, Span, Span], strides: Triple) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return which outputs of a stride-1 tile a strided output keeps, and where they go."""
    first = [-(-lo // s) for (lo, _), s in zip(span, strides, strict=True)]
    last = [-(-hi // s) for (_, hi), s in zip(span, strides, strict=True)]
    take = tuple(slice(f * s - lo, hi - lo, s) for f, s, (lo, hi) in zip(first, strides, span, strict=True))
    return take, tuple(slice(f, e) for f, e in zip(first, last, strict=True))


def outputs_of(problem: Problem, tile: Triple) -> Triple:
    """Return the outputs of stride 1 that one tile yields along each axis."""
    d, h, w = (t - effective(k, r) + 1 for t, k, r in zip(tile, problem.kernel, problem.dilation, strict=True))
    return d, h, w


def whole_tile(problem: Problem) -> Triple:
    """Return the tile that holds a whole padded volume."""
    d, h, w = (fast_length(max(n + sum(p), 1)) for n, p in zip(problem.size, problem.padding, strict=True))
    return d, h, w


def tile_of(problem: Problem, length: int) -> Triple:
    """Return the tile of about so many voxels an axis; it is longer than the kernel, and no longer than the volume."""
    extents = [effective(k, d) for k, d in zip(problem.kernel, problem.dilation, strict=True)]
    d, h, w = (
        min(most, fast_length(max(length, extent + 7)))
        for most, extent in zip(whole_tile(problem), extents, strict=True)
    )
    return d, h, w


def tile_at_least(problem: Problem, tile: Triple) -> Triple:
    """Return a tile, with each axis that is shorter than the kernel made long enough.

    >>> tile_at_least(Problem((4, 4, 4), (9, 1, 1), padding=((8, 8), (0, 0), (0, 0))), (5, 8, 8))
    (16, 8, 8)
    """
    d, h, w = (
        t if t >= effective(k, r) else longer
        for t, k, r, longer in zip(tile, problem.kernel, problem.dilation, tile_of(problem, max(tile)), strict=True)
    )
    return d, h, w


@lru_cache(maxsize=1024)
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
