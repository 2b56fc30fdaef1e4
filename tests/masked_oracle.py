"""A filter inside a mask by its definition, voxel by voxel: nothing here is shared with the package.

A voxel of label l sees, in the window around it, those voxels of its label that have a value. Outside of the volume
nothing is seen beside zeros, a constant is seen as it is, and what is mirrored or repeated is seen as the voxel that it
is read from.
"""

from __future__ import annotations

import itertools

import numpy as np

PADS = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}


def around(array, pads, boundary, beyond):
    """Return an array (..., D, H, W) as a boundary goes on; ``beyond`` is what lies outside of a constant one."""
    widths = [(0, 0)] * (array.ndim - 3) + list(pads)
    if boundary in PADS:
        return np.pad(array, widths, mode=PADS[boundary])
    return np.pad(array, widths, constant_values=beyond)


def masked_oracle(
    x, labels, kernel, pads, *, absent=None, bias=None, groups=1, dilation=(1, 1, 1), boundary="zero", coverage=1e-3
):
    """Return the output (F, D, H, W) and where a voxel inside has too little coverage, of the same shape.

    x is (C, D, H, W), labels (D, H, W) of whole numbers, the kernel (kd, kh, kw, C / groups, F), absent as x.
    """
    x, kernel = np.asarray(x, float), np.asarray(kernel, float)
    size, (per_group, filters) = x.shape[1:], kernel.shape[3:]
    constant = float(boundary.partition(":")[2]) if boundary.startswith("constant") else 0.0
    data = around(x, pads, boundary, constant)
    names = around(np.asarray(labels, int), pads, boundary, -1)
    lost = around(np.zeros(x.shape, bool) if absent is None else absent, pads, boundary, False)
    outside = names == -1
    out, gone = np.zeros((filters, *size)), np.zeros((filters, *size), bool)
    for at in itertools.product(*map(range, size)):
        if not labels[at]:
            continue
        window = tuple(slice(a, a + (k - 1) * d + 1, d) for a, k, d in zip(at, kernel.shape[:3], dilation, strict=True))
        known = outside[window] if boundary.startswith("constant") else np.zeros(kernel.shape[:3], bool)
        own = (names[window] == labels[at]) | known
        for f in range(filters):
            first = f // (filters // groups) * per_group
            channels = range(first, first + per_group)
            sees = [own & ~lost[(c, *window)] for c in channels]
            seen = [np.where(m, data[(c, *window)], 0) for m, c in zip(sees, channels, strict=True)]
            weights = [kernel[..., c, f] for c in range(per_group)]
            value = one_voxel(seen, sees, weights, coverage)
            gone[(f, *at)] = value is None
            out[(f, *at)] = 0 if value is None else value + (0 if bias is None else bias[f])
    return out, gone


def one_voxel(seen, sees, weights, coverage):
    """Return the filter's value at a voxel, or None; each argument has an item for each channel."""
    total, size = sum(w.sum() for w in weights), sum(abs(w).sum() for w in weights)
    result = sum((w * s).sum() for w, s in zip(weights, seen, strict=True))
    if abs(total) > 1e-3 * size:
        inside = sum(w[m].sum() for w, m in zip(weights, sees, strict=True))
        weight = sum(abs(w[m]).sum() for w, m in zip(weights, sees, strict=True))
        return None if weight < coverage * size or abs(inside) < 1e-3 * weight else result / inside
    for w, s, m in zip(weights, seen, sees, strict=True):
        if not w.any():
            continue
        weight = abs(w[m]).sum()
        if weight < coverage * abs(w).sum():
            return None
        mean = (abs(w) * s).sum() / weight
        result += mean * w[~m].sum()
    return result
