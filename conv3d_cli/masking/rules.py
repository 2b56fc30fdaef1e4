"""How a filter is computed where voxels are missing: by its weight inside the mask, or with the mean of its window.

With the mask M, the data X and s_K the correlation with the kernel K of one filter, summed over its channels:

- K has a sum: ``s_K(M X) / s_K(M)``, the average over what is inside. Its weights have the sum 1 then, whatever the
  kernel's own, so that an image of one value in all channels keeps this value (normalized convolution: Knutsson and
  Westin, CVPR 1993).
- K has none, as a derivative: a missing voxel of channel c is worth the mean of its window,
  ``m_c = s_|Kc|(M X) / s_|Kc|(M)``, hence ``s_K(M X) + sum over c of m_c (sum Kc - s_Kc(M))``.

The coverage of a voxel is the share of the kernel's magnitude that lies inside, ``s_|K|(M) / sum |K|``, in the second
rule that of its least covered channel. A voxel with less than is asked for has no value, nor one whose s_K(M) is below
CANCELLED of s_|K|(M), where the weights left inside cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen

CANCELLED = 1e-3
"""A sum of weights below this share of their magnitude is none.

What is divided by it would be rounding errors and noise a thousand times enlarged. A Laplacian of a Gaussian that is
cut off where 1e-4 of it is lost has 5e-6, a Gabor filter of one wave 0.2.
"""

ROUNDING = 1e-5
"""By how much of itself a coverage may fall short of what is asked for: all inside is all inside."""


class Tap(NamedTuple):
    """A kernel (k1, k2, k3, channels, 1) that a mask is correlated with; ``key`` is the same for equal ones."""

    key: int
    kernel: Array


@frozen
class Magnitude:
    """The correlation with absolute weights: that of ``tap`` times ``sign``; ``total`` is the sum of the weights."""

    tap: Tap
    sign: float
    total: float


@frozen
class Mean:
    """The part of one channel in a filter without a sum: its weights, their magnitude, and their own sum."""

    channel: int
    tap: Tap
    magnitude: Magnitude
    sum: float


@frozen
class Rule:
    """How one filter is computed from the channels in ``reads``.

    One with a sum has ``whole`` and ``magnitude``: over all channels, for a mask of each, and ``shared`` and
    ``shared_magnitude``: the same for one mask of all channels. One without has ``means`` instead.
    """

    reads: slice
    sum: float
    whole: Tap | None = None
    magnitude: Magnitude | None = None
    shared: Tap | None = None
    shared_magnitude: Magnitude | None = None
    means: tuple[Mean, ...] = ()

    @property
    def normalised(self) -> bool:
        """Whether the filter is divided by its weight inside the mask."""
        return self.whole is not None

    @property
    def mixed(self) -> bool:
        """Whether what is divided by is a sum of weights of both signs."""
        return self.magnitude is not None and self.magnitude.tap is not self.whole

    def over(self, shared: bool) -> tuple[Tap, Magnitude]:
        """Return the weights of a filter that has a sum, and their magnitude: for one mask of all channels if shared.

        That of one channel is of both kinds.
        """
        whole, size = (self.shared, self.shared_magnitude) if shared else (self.whole, self.magnitude)
        assert whole is not None
        assert size is not None
        return whole, size


class _Taps:
    """Makes taps, equal ones with one key."""

    def __init__(self) -> None:
        self._keys: dict[bytes, int] = {}

    def tap(self, weights: Array) -> Tap:
        """Return the tap of weights (k1, k2, k3, channels)."""
        whole = np.ascontiguousarray(weights)[..., np.newaxis]
        return Tap(self._keys.setdefault(whole.tobytes(), len(self._keys)), whole)

    def magnitude(self, weights: Array, own: Tap, shared: bool = False) -> Magnitude:
        """Return the magnitude of weights whose tap is ``own``; with ``shared`` for one mask of all channels."""
        absolute = np.abs(weights)
        total = float(absolute.sum(dtype=np.float64))
        for sign in (1.0, -1.0):
            if np.array_equal(sign * weights, absolute):
                return Magnitude(own, sign, total)
        return Magnitude(self.tap(absolute.sum(axis=3, keepdims=True) if shared else absolute), 1.0, total)


def rules_of(kernel: Array, groups: int) -> list[Rule]:
    """Return the rule of every filter of a kernel (k1, k2, k3, channels / groups, filters).

    >>> mean, slope = rules_of(np.stack([np.ones(3), [-1, 0, 1]], -1).reshape(3, 1, 1, 1, 2), 1)
    >>> mean.normalised, slope.normalised, slope.means[0].magnitude.total
    (True, False, 2.0)
    """
    channels, filters = kernel.shape[3:]
    taps, rules = _Taps(), []
    for f in range(filters):
        first = f // (filters // groups) * channels
        reads, weights = slice(first, first + channels), kernel[..., f]
        total = float(weights.sum(dtype=np.float64))
        if abs(total) > CANCELLED * float(np.abs(weights).sum(dtype=np.float64)):
            whole, shared = taps.tap(weights), taps.tap(weights.sum(axis=3, keepdims=True))
            parts = taps.magnitude(weights, whole), taps.magnitude(weights, shared, shared=True)
            rules.append(Rule(reads, total, whole, parts[0], shared, parts[1]))
        else:
            rules.append(Rule(reads, total, means=tuple(_means(weights, first, taps))))
    return rules


def _means(weights: Array, first: int, taps: _Taps) -> Iterator[Mean]:
    """Yield the parts of the channels that a filter without a sum reads; a channel without weights has none."""
    for c in range(weights.shape[3]):
        part = weights[..., c : c + 1]
        if part.any():
            own = taps.tap(part)
            yield Mean(first + c, own, taps.magnitude(part, own), float(part.sum(dtype=np.float64)))
