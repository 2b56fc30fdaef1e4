"""The convolution by its definition, in float64: what every method and the layer are compared with.

Nothing here is shared with the package. The output is the sum over taps and channels of a zero-padded input;
the ``magnitude`` that comes with it is the same sum over absolute values: rounding errors are proportional to
it.
"""

from __future__ import annotations

import itertools

import numpy as np


def oracle(
    x, kernel, bias=None, strides=(1, 1, 1), padding=((0, 0),) * 3, dilation=(1, 1, 1), groups=1, boundary="zero"
):
    """Return output and magnitude, both (N, F, D', H', W').

    x is (N, C, D, H, W), the kernel (kd, kh, kw, C/groups, F). ``padding`` holds the voxels before and after
    each spatial axis that ``boundary`` (zero, reflect, mirror, nearest, wrap, constant:V) gives their values; an
    axis that the kernel does not fit on has no output.
    """
    x = np.asarray(x, dtype=np.float64)
    kernel = np.asarray(kernel, dtype=np.float64)
    taps, (per_group, filters) = kernel.shape[:3], kernel.shape[3:]
    batch, channels = x.shape[:2]
    assert channels == per_group * groups, "kernel and input disagree on the channels"
    assert filters % groups == 0, "filters do not divide into groups"

    padded = pad(x, padding, boundary)
    reach = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    size = [len(range(0, n - r + 1, s)) for n, r, s in zip(padded.shape[2:], reach, strides, strict=True)]

    grouped = padded.reshape(batch, groups, per_group, *padded.shape[2:])
    weights = kernel.reshape(*taps, per_group, groups, filters // groups)
    y = np.zeros((batch, groups, filters // groups, *size))
    magnitude = np.zeros_like(y)
    if 0 not in size:
        for tap in itertools.product(*(range(k) for k in taps)):
            seen = tuple(
                slice(t * d, t * d + (m - 1) * s + 1, s)
                for t, d, m, s in zip(tap, dilation, size, strides, strict=True)
            )
            block = grouped[(slice(None), slice(None), slice(None), *seen)]
            y += np.einsum("ngcdhw,cgf->ngfdhw", block, weights[tap])
            magnitude += np.einsum("ngcdhw,cgf->ngfdhw", np.abs(block), np.abs(weights[tap]))

    shape = (batch, filters, *size)
    y, magnitude = y.reshape(shape), magnitude.reshape(shape)
    if bias is not None:
        y = y + np.asarray(bias, dtype=np.float64).reshape(1, filters, 1, 1, 1)
        magnitude = magnitude + np.abs(np.asarray(bias, dtype=np.float64)).reshape(1, filters, 1, 1, 1)
    return y, magnitude


NUMPY_MODES = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}


def pad(x, padding, boundary="zero"):
    """Return x (N, C, D, H, W) with so many voxels before and after each spatial axis, as NumPy has them."""
    widths = [(0, 0), (0, 0), *[tuple(p) for p in padding]]
    mode, _, value = boundary.partition(":")
    if mode in NUMPY_MODES:
        return np.pad(x, widths, mode=NUMPY_MODES[mode])
    return np.pad(x, widths, constant_values=float(value or 0))


def same_pads(size, kernel, strides=(1, 1, 1), dilation=(1, 1, 1)):
    """Return the zeros of padding ``same`` by search: the fewest for ceil(n/s) outputs, the odd one after."""
    pads = []
    for n, k, s, d in zip(size, kernel, strides, dilation, strict=True):
        wanted = -(-n // s)
        total = next(t for t in itertools.count() if len(range(0, n + t - (k - 1) * d, s)) >= wanted)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def oracle_layer(
    x,
    kernel,
    bias=None,
    *,
    strides=(1, 1, 1),
    padding="valid",
    data_format="channels_last",
    dilation_rate=(1, 1, 1),
    groups=1,
):
    """Return output and magnitude of a layer without activation, for x in its layout with any batch axes."""
    x = np.asarray(x, dtype=np.float64)
    batch_shape = x.shape[:-4]
    planar = x.reshape(-1, *x.shape[-4:])
    if data_format == "channels_last":
        planar = np.moveaxis(planar, -1, 1)
    kernel = np.asarray(kernel)
    size, taps = planar.shape[2:], kernel.shape[:3]
    pads = same_pads(size, taps, strides, dilation_rate) if padding == "same" else ((0, 0),) * 3
    both = oracle(planar, kernel, bias, strides, pads, dilation_rate, groups)
    if data_format == "channels_last":
        both = tuple(np.moveaxis(a, 1, -1) for a in both)
    y, magnitude = (a.reshape(*batch_shape, *a.shape[1:]) for a in both)
    return y, magnitude
