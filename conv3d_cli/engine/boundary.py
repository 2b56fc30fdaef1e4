"""What lies around a volume: zeros, a constant, or the volume itself, mirrored or repeated.

The modes are those of ``scipy.ndimage``, by value. Around the voxels a b c d they put

    zero, constant   k k k k | a b c d | k k k k      with k the constant, 0 for zero
    reflect          d c b a | a b c d | d c b a
    mirror           c d c b | a b c d | c b a b
    nearest          a a a a | a b c d | d d d d
    wrap             a b c d | a b c d | a b c d

and go on like this as far as a kernel reaches. NumPy's words for them are others: its "reflect" is ``mirror`` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conv3d_cli.errors import LayerError, ShapeError, nearest
from conv3d_cli.frozen import frozen

Places: TypeAlias = NDArray[np.int64]

LARGEST_VALUE = float(np.finfo(np.float32).max)
"""A constant is a number that both float32 and float64 hold."""


@frozen
class Mode:
    """One way to go on beyond a volume, and its words elsewhere.

    ``places`` takes positions along an axis of so many voxels and returns the voxels that are read there.
    """

    scipy: str
    numpy: str
    places: Callable[[Places, int], Places]


def _constant(at: Places, size: int) -> Places:
    return np.where((at >= 0) & (at < size), at, -1)


def _reflected(at: Places, size: int) -> Places:
    """Mirror at the outer faces of the first and the last voxel: a period of two volumes."""
    within = at % (2 * size)
    return np.minimum(within, 2 * size - 1 - within)


def _mirrored(at: Places, size: int) -> Places:
    """Mirror at the centres of the first and the last voxel, which are not repeated; one voxel is all there is."""
    period = max(2 * size - 2, 1)
    within = at % period
    return np.minimum(within, period - within) if size > 1 else within


MODES: dict[str, Mode] = {
    "constant": Mode("constant", "constant", _constant),
    "reflect": Mode("reflect", "symmetric", _reflected),
    "mirror": Mode("mirror", "reflect", _mirrored),
    "nearest": Mode("nearest", "edge", lambda at, size: np.clip(at, 0, size - 1)),
    "wrap": Mode("wrap", "wrap", lambda at, size: at % size),
}

WORDS = ("zero", *(mode for mode in MODES if mode != "constant"), "constant:V")
"""What ``Boundary.parse`` takes."""

_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
PATTERN = f"^(?:{'|'.join(WORDS[:-1])}|constant:{_NUMBER})$"
"""The same as a regular expression."""


@frozen
class Boundary:
    """What a convolution reads outside of its volume: a key of MODES, with a value where that is "constant".

    >>> Boundary.parse("constant:3.5"), Boundary.parse("zero") == Boundary() == ZERO
    (Boundary(mode='constant', value=3.5), True)
    >>> str(Boundary("reflect")), str(Boundary("constant", 3.5)), str(ZERO)
    ('reflect', 'constant:3.5', 'zero')
    """

    mode: str = "constant"
    value: float = 0.0

    def __post_init__(self) -> None:
        """Raise LayerError for what is no boundary."""
        if self.mode not in MODES:
            raise LayerError(_unknown(self.mode), "boundary")
        if not abs(self.value) <= LARGEST_VALUE:
            raise LayerError(
                f"boundary: not a value that float32 holds: got {self.value!r}, expected a finite number of at most "
                f"{LARGEST_VALUE:.3g}",
                "boundary",
            )
        if self.value and self.mode != "constant":
            raise LayerError(
                f"boundary: {self.mode!r} has no value: got {self.value!r}, expected it with 'constant' only",
                "boundary",
            )
        object.__setattr__(self, "value", float(self.value) + 0.0)  # no -0.0, which is equal to 0.0 and not the same

    @classmethod
    def parse(cls, text: str) -> Boundary:
        """Return the boundary of a text, one of WORDS; raises LayerError for any other."""
        if re.fullmatch(PATTERN, text) is None:
            if text.startswith("constant"):
                raise LayerError(
                    f"boundary: no number after 'constant:': got {text!r}, expected one as in constant:3.5", "boundary"
                )
            raise LayerError(_unknown(text), "boundary")
        mode, _, number = text.partition(":")
        return ZERO if mode == "zero" else cls(mode, float(number or 0))

    @property
    def is_zero(self) -> bool:
        """Whether zeros are read outside of the volume."""
        return self.mode == "constant" and self.value == 0

    @property
    def is_constant(self) -> bool:
        """Whether one value is read everywhere outside of the volume, zero or another."""
        return self.mode == "constant"

    @property
    def scipy(self) -> str:
        """The word of ``scipy.ndimage`` for the mode."""
        return MODES[self.mode].scipy

    @property
    def numpy(self) -> str:
        """The word of ``numpy.pad`` for the mode."""
        return MODES[self.mode].numpy

    def __str__(self) -> str:
        """Return the text that means the boundary."""
        if self.is_zero:
            return "zero"
        return f"constant:{repr(self.value).removesuffix('.0')}" if self.is_constant else self.mode

    def places(self, size: int, before: int, after: int) -> Places:
        """Return what each position of a padded axis is read from: an index of the axis, or -1 for the constant.

        There are ``before + size + after`` positions, ``size`` of them voxels. Raises ShapeError for an axis without
        voxels, which has nothing to mirror or repeat.

        >>> Boundary("reflect").places(3, 4, 2).tolist(), Boundary("mirror").places(3, 4, 2).tolist()
        ([2, 2, 1, 0, 0, 1, 2, 2, 1], [0, 1, 2, 1, 0, 1, 2, 1, 0])
        >>> ZERO.places(3, 1, 2).tolist()
        [-1, 0, 1, 2, -1, -1]
        """
        return _places(self.mode, size, before, after)


ZERO = Boundary()


@lru_cache(maxsize=256)
def _places(mode: str, size: int, before: int, after: int) -> Places:
    if size == 0 and mode != "constant":
        raise ShapeError(f"boundary: nothing to read for {mode!r}: got an axis of 0 voxels, expected at least 1")
    found = MODES[mode].places(np.arange(-before, size + after, dtype=np.int64), size)
    found.setflags(write=False)
    return found


def _unknown(text: Any) -> str:
    return f"boundary: unknown: got {text!r}, expected one of {', '.join(WORDS)}{nearest(str(text), WORDS)}"
