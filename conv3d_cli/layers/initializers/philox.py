"""The random numbers that Keras draws for a seed: Philox4x32-10, as TensorFlow's stateless operations use it.

The generator is that of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
A seed is scrambled once into a key and the upper half of a 128-bit counter; the lower half then numbers the
blocks of four 32-bit words. Uniform float32 values equal TensorFlow's bit for bit; normal ones differ by the
last bit of a logarithm or a sine.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.frozen import frozen

Words: TypeAlias = NDArray[np.uint32]
Floats: TypeAlias = NDArray[np.floating]

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
SCRAMBLE_KEY = (0x3EC8F720, 0x02461E29)
MASK = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)

SMALLEST_UNIFORM = 1e-7
TRUNCATION = 2.0
RESERVED = 256
"""Samples set aside for each output of a truncated distribution."""

PIECE = 1 << 14
"""Blocks drawn at a time: their temporaries take about 150 bytes a block."""

PER_BLOCK = {"float16": 4, "float32": 4, "float64": 2}
"""Numbers that one block of four words makes."""


def philox(counter: tuple[NDArray[np.uint64], ...], key: tuple[int, int]) -> Words:
    """Return four 32-bit words for each counter, shape (blocks, 4); a counter is four 32-bit values.

    >>> zeros = (np.zeros(1, np.uint64),) * 4
    >>> [hex(w) for w in philox(zeros, (0, 0))[0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c2 = (product1 >> HALF) ^ c1 ^ np.uint64(k0), (product0 >> HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = product1 & MASK, product0 & MASK
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


@frozen
class Stream:
    """The numbers of one seed, a signed number of 64 bits; each call starts at the beginning.

    >>> Stream(7).uniform(4, "float32").dtype
    dtype('float32')
    """

    seed: int

    def uniform(self, count: int, dtype: str) -> Floats:
        """Return ``count`` numbers in [0, 1)."""
        return self._drawn(count, dtype, _unit)

    def normal(self, count: int, dtype: str) -> Floats:
        """Return ``count`` numbers of mean 0 and standard deviation 1, by the method of Box and Muller."""
        return self._drawn(count, dtype, lambda words, dtype: _box_muller(words, _normal_dtype(dtype)))

    def truncated_normal(self, count: int, dtype: str) -> Floats:
        """Return ``count`` standard normal numbers, those of absolute value 2 and more drawn again."""
        groups = -(-count // PER_BLOCK[dtype])
        result = np.empty((groups, PER_BLOCK[dtype]), dtype)
        for first in range(0, groups, PIECE):
            self._fill_truncated(result[first : first + PIECE], first)
        return result.reshape(-1)[:count]

    def _drawn(self, count: int, dtype: str, numbers: Callable[[Words, str], Floats]) -> Floats:
        blocks = -(-count // PER_BLOCK[dtype])
        result = np.empty((blocks, PER_BLOCK[dtype]), dtype)
        for first in range(0, blocks, PIECE):
            piece = result[first : first + PIECE]
            piece[...] = numbers(self._words(np.arange(first, first + len(piece), dtype=np.uint64)), dtype)
        return result.reshape(-1)[:count]

    def _fill_truncated(self, result: Floats, first: int) -> None:
        """Fill groups, numbered from ``first``, with the first numbers of each that are not cut off."""
        per_group, dtype = result.shape[1], _normal_dtype(str(result.dtype))
        pending, tried = np.arange(len(result)), 2
        while pending.size:
            starts = ((pending + first) * (RESERVED * per_group // 4)).astype(np.uint64)
            blocks = np.add.outer(starts, np.arange(tried, dtype=np.uint64), dtype=np.uint64)
            drawn = _box_muller(self._words(blocks.reshape(-1)), dtype).reshape(pending.size, -1)
            kept = np.abs(drawn) < TRUNCATION
            enough = kept.sum(axis=1) >= per_group
            order = np.argsort(~kept[enough], axis=1, kind="stable")[:, :per_group]
            result[pending[enough]] = np.take_along_axis(drawn[enough], order, axis=1)
            pending = pending[~enough]
            tried *= 2

    def _words(self, blocks: NDArray[np.uint64]) -> Words:
        seed = self.seed & 0xFFFFFFFFFFFFFFFF
        start = tuple(np.full(1, word, np.uint64) for word in (seed & 0xFFFFFFFF, seed >> 32, 0, 0))
        mix = [int(word) for word in philox(start, SCRAMBLE_KEY)[0]]
        upper = [np.full(blocks.shape, word, np.uint64) for word in mix[2:]]
        return philox((blocks & MASK, blocks >> HALF, *upper), (mix[0], mix[1]))


def _normal_dtype(dtype: str) -> str:
    """Return the type in which normal numbers are drawn: those of float16 are rounded from float32."""
    return "float32" if dtype == "float16" else dtype


def _unit(words: Words, dtype: str) -> Floats:
    """Return numbers in [0, 1) that have the words' bits as their mantissas."""
    if dtype == "float16":
        return ((words & np.uint32(0x3FF)) | np.uint32(15 << 10)).astype(np.uint16).view(np.float16) - np.float16(1)
    if dtype == "float32":
        return ((words & np.uint32(0x7FFFFF)) | np.uint32(127 << 23)).view(np.float32) - np.float32(1)
    pairs = words.astype(np.uint64)
    mantissas = ((pairs[:, 0::2] & np.uint64(0xFFFFF)) << HALF) | pairs[:, 1::2]
    return (mantissas | np.uint64(1023 << 52)).view(np.float64) - 1.0


def _box_muller(words: Words, dtype: str) -> Floats:
    """Return normal numbers from pairs of uniform ones, the sine before the cosine.

    The uniform numbers and the angle are rounded to ``dtype``, as TensorFlow rounds them; the functions of
    them are evaluated in double precision.
    """
    units = _unit(words, dtype).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log(np.maximum(units[:, 0::2], SMALLEST_UNIFORM)))
    angle = (2.0 * pi * units[:, 1::2]).astype(dtype).astype(np.float64)
    pairs = np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=-1)
    normal: Floats = pairs.reshape(len(words), PER_BLOCK[dtype]).astype(dtype)
    return normal
