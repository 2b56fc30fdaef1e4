"""Arrays of one shape in every storage order that a caller may come with, filled with NaN."""

from __future__ import annotations

import numpy as np


def planar(shape, dtype):
    return np.full(shape, np.nan, dtype)


def channels_last(shape, dtype):
    n, c, *space = shape
    return np.moveaxis(planar((n, *space, c), dtype), -1, 1)


def fortran(shape, dtype):
    return planar(shape[::-1], dtype).T


def every_other_reversed(shape, dtype):
    steps = (2, -2, 2, -2, -2)
    return planar([2 * n for n in shape], dtype)[tuple(slice(None, None, s) for s in steps)]


def field_of_a_record(shape, dtype):
    return np.full(shape, -1, [("pad", "i1"), ("value", dtype)])["value"]


STORAGE = {f.__name__: f for f in (planar, channels_last, fortran, every_other_reversed, field_of_a_record)}
