"""``convolve``: the operation alone, for people who have a kernel and want no layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv3d_cli.engine import Limits, Problem, convolve_array
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.problem import Real
from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.kinds import COUNT, MOST, TRIPLE, one_of, real_array, shown
from conv3d_cli.layers.arguments import BOUNDARY, nothing_around, reaches_too_far
from conv3d_cli.shapes import NO_PADS, Pads, Triple, same_padding, voxels

DATA_FORMAT = one_of("channels_last", "channels_first")


def convolve(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    strides: int | Sequence[int] = 1,
    padding: Literal["valid", "same"] | Sequence[Sequence[int]] = "valid",
    dilation_rate: int | Sequence[int] = 1,
    groups: int = 1,
    boundary: str = "zero",
    data_format: Literal["channels_last", "channels_first"] = "channels_last",
    method: str = "auto",
    accuracy: str = "default",
    threads: int | None = None,
    max_memory: str | int | None = None,
) -> NDArray[Any]:
    """Return the cross-correlation of ``x`` with ``kernel``, plus ``bias``; the kernel is not flipped.

    ``x`` is ``batch_shape + (d1, d2, d3, C)`` (channels_first: ``batch_shape + (C, d1, d2, d3)``) with at
    least one batch axis, ``kernel`` always ``(kd, kh, kw, C / groups, filters)``, ``bias`` ``(filters,)``.
    ``padding`` is "valid", "same" (TensorFlow's: the odd voxel comes after) or three ``(before, after)``
    pairs of voxels. ``boundary`` says what these are, in the modes of ``scipy.ndimage``: "zero", "reflect", "mirror",
    "nearest", "wrap" or "constant:3.5". Strides and dilation may go together. The result is new and C-contiguous,
    float64 if ``x`` is and float32 otherwise.

    Raises ShapeError where shapes do not fit, LayerError for a bad argument, UsageError for a method or an
    accuracy that there is not, MethodError where a forced method cannot serve, OverLimit where memory does
    not suffice.

    >>> import numpy as np
    >>> x = np.zeros((1, 5, 5, 5, 1))
    >>> x[0, 2, 2, 2, 0] = 1
    >>> y = convolve(x, np.arange(27.0).reshape(3, 3, 3, 1, 1))
    >>> y.shape, round(float(y[0, 0, 0, 0, 0]), 9)
    ((1, 3, 3, 3, 1), 26.0)
    """
    source, weights = real_array(x, "x"), real_array(kernel, "kernel")
    dtype: Real = "float64" if source.dtype == np.float64 else "float32"
    last = DATA_FORMAT.read("data_format", data_format) == "channels_last"
    if source.ndim < 5:
        raise ShapeError(f"x: too few dimensions: got {source.ndim} in {source.shape}, expected at least 5", "x")
    if weights.ndim != 5 or 0 in weights.shape:
        raise ShapeError(
            f"kernel: wrong shape: got {weights.shape}, expected (kd, kh, kw, C / groups, filters)", "kernel"
        )
    size, channels = (source.shape[-4:-1], source.shape[-1]) if last else (source.shape[-3:], source.shape[-4])
    _check_groups(COUNT.read("groups", groups), channels, weights.shape)
    taps = (weights.shape[0], weights.shape[1], weights.shape[2])
    steps, spread = TRIPLE.read("strides", strides), TRIPLE.read("dilation_rate", dilation_rate)
    if refusal := reaches_too_far(spread, taps):
        raise LayerError(refusal, "dilation_rate")
    pads = _pads(padding, size, taps, steps, spread)
    around = BOUNDARY.read("boundary", boundary)
    if refusal := nothing_around(around, padding.lower() if isinstance(padding, str) else pads):
        raise LayerError(refusal, "boundary")
    problem = Problem(
        size=size,
        kernel=taps,
        strides=steps,
        dilation=spread,
        padding=pads,
        batch=voxels(source.shape[:-4]),
        channels=channels,
        filters=weights.shape[4],
        groups=int(groups),
        dtype=dtype,
        boundary=Boundary.parse(around),
    )
    return convolve_array(
        problem,
        source,
        np.ascontiguousarray(weights, dtype),
        _bias(bias, problem),
        channels_last=last,
        limits=Limits.detect(threads, max_memory),
        method=method,
        accuracy=accuracy,
    )


def _check_groups(groups: int, channels: int, kernel: tuple[int, ...]) -> None:
    if channels % groups or kernel[3] * groups != channels:
        raise ShapeError(
            f"kernel: does not fit the input's channels: got {kernel[3]} channels in {kernel} with {groups} groups, "
            f"expected {channels} channels together",
            "kernel",
        )
    if kernel[4] % groups:
        raise ShapeError(f"groups: do not divide the filters: got {groups} groups for {kernel[4]} filters", "groups")


def _pads(padding: Any, size: Triple, kernel: Triple, strides: Triple, dilation: Triple) -> Pads:
    """Return the zeros before and after each axis, for a word or for pairs."""
    if isinstance(padding, str):
        word = one_of("valid", "same").read("padding", padding)
        if word == "valid":
            return NO_PADS
        d, h, w = (same_padding(*axis) for axis in zip(size, kernel, strides, dilation, strict=True))
        return d, h, w
    try:
        d, h, w = ((int(before), int(after)) for before, after in np.asarray(padding).tolist())
        exact = np.array_equal(np.asarray(padding), (d, h, w))
    except (TypeError, ValueError):
        exact = False
    if not exact or min(*d, *h, *w) < 0 or max(*d, *h, *w) > MOST:
        raise LayerError(
            f"padding: not understood: got {shown(padding)}, expected 'valid', 'same' or three (before, after) pairs "
            f"of whole numbers from 0 to {MOST}",
            "padding",
        )
    return d, h, w


def _bias(bias: ArrayLike | None, problem: Problem) -> NDArray[Any] | None:
    if bias is None:
        return None
    vector = real_array(bias, "bias").astype(problem.dtype)
    if vector.shape != (problem.filters,):
        raise ShapeError(f"bias: wrong shape: got {vector.shape}, expected ({problem.filters},)", "bias")
    return vector
