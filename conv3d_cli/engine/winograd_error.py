"""What error Cook-Toom tiles make, from their matrices and from the kernel's own values.

With y = A [(G g) * (B x)] (see cook_toom.py), U = G g and V = B x of a channel, the products U_j V_j of a point j are
summed over C channels before A takes them to the outputs. A rounding is off by u d, u half a unit in the last place and
d of mean square 0.18: 1/3, as d is uniform, times the mean of 1 / m^2 over mantissas m from 1 to 2, whose logarithms
are. Roundings are taken for independent, as in N. J. Higham and T. Mary, "A new approach to probabilistic rounding
error analysis", SIAM J. Sci. Comput. 41 (2019), so that their squares add. For inputs of mean square 1 that of V_j is
|B_j|^2, the sum of its squares; a sum of C products, one after the other, is off by 0.18 u^2 C / 2 times its own mean
square, |B_j|^2 times the sum over c of U_jc^2; and the transforms before and after it by as much as eight channels.
Output i then has the mean square error

    e_i^2 = 0.18 u^2 (C / 2 + 4) L_i,   L_i = sum over j of A_ij^2 |B_j|^2 sum over c of U_jc^2,

with the loss L_i a quadratic form of the weights: A, B, G are products over the axes, and so are its coefficients. The
ends of an axis have the largest elements in G: a kernel whose weight is in a corner loses most.

Of all outputs of random inputs, the largest error is 1.35 max e_i / |w|_2 of the largest output. The fewer weights
there are, the more often all products of a tile are large together, and the nearer the largest output of inputs up to
1, |w|_1, is to their mean, |w|_2: then it is up to 13 max e_i / |w|_1. Both were measured, for kernels of one tap and
of all, and the error to expect is the root of the sum of their squares. It is no bound of the worst case, which is tens
of times what is ever seen (by the same matrices: B. Barabasz, A. Anderson, K. M. Soodhalter, D. Gregg, "Error analysis
and improving the accuracy of Winograd convolution for deep neural networks", ACM TOMS 46 (2020)).
"""

from __future__ import annotations

from functools import lru_cache
from math import prod, sqrt

import numpy as np

from conv3d_cli.engine.blocks import Array
from conv3d_cli.engine.problem import Problem, Real
from conv3d_cli.engine.winograd_layout import channels_of, taps
from conv3d_cli.shapes import Triple

SUMMED = 32
"""Channels that are summed one after the other, as ``summed_channels`` of the compiled code."""

UNIT: dict[Real, float] = {"float32": 2.0**-24, "float64": 2.0**-53}
SQUARE = 0.18
TRANSFORMS = 4
AGAINST_MEAN = 1.35
AGAINST_SUM = 13.0
SPREAD = 0.64  # of weights from a normal distribution: their squared mean magnitude over their mean square


def error(problem: Problem, points: Triple, in_turn: int = SUMMED) -> float:
    """Return the error to expect of weights spread over the taps, relative to the largest output.

    Of the channels at most ``in_turn`` are summed one after the other.

    >>> error(Problem((9, 9, 9), (3, 3, 3)), (4, 4, 4)) < 1e-6
    True
    """
    loss = 1.0
    for n, k, s, r in zip(points, problem.kernel, problem.strides, taps(problem), strict=True):
        each = np.einsum("itt->it", _losses(n, r))[:, np.arange(k) // s]
        loss *= float(each.mean(axis=1).max())
    terms = problem.taps * max(problem.channels // problem.groups, 1)
    return _relative(problem, loss, 1 / (SPREAD * terms), in_turn)


def worst(problem: Problem, points: Triple, in_turn: int = SUMMED) -> float:
    """Return the error to expect of the kernel that suits a tile least, a bound on those of all others.

    >>> problem = Problem((9, 9, 9), (3, 3, 3))
    >>> 2 < worst(problem, (4, 4, 4)) / error(problem, (4, 4, 4)) < 20
    True
    """
    loss = prod(float(np.linalg.eigvalsh(_losses(n, r)).max()) for n, r in zip(points, taps(problem), strict=True))
    return _relative(problem, loss, 1.0, in_turn)


def error_of(problem: Problem, points: Triple, kernel: Array, energies: Array, in_turn: int = SUMMED) -> float:
    """Return the error to expect of a kernel (kd, kh, kw, C / groups, F), that of the filter which suits a tile least.

    ``energies`` (F, points of D, of H, of W) holds the squares of the transformed kernel, summed over the channels. No
    less is expected than of weights spread over the taps; of those that are not finite, the same.
    """
    squared = np.square(kernel, dtype=np.float64).sum(axis=(0, 1, 2, 3))
    summed = np.abs(kernel).sum(axis=(0, 1, 2, 3), dtype=np.float64)
    used = np.isfinite(energies.sum(axis=(1, 2, 3))) & (squared > 0)
    loss = energies[used]
    for axis, (n, r) in enumerate(zip(points, taps(problem), strict=True)):
        loss = np.moveaxis(np.tensordot(_outward(n, r), loss, (1, axis + 1)), 0, axis + 1)
    lost = loss.max(axis=(1, 2, 3)) * (AGAINST_MEAN**2 / squared[used] + AGAINST_SUM**2 / summed[used] ** 2)
    return max(error(problem, points, in_turn), _off(problem, in_turn) * sqrt(float(lost.max(initial=0))))


def _relative(problem: Problem, loss: float, crowding: float, in_turn: int) -> float:
    """``loss`` of weights whose squares sum to 1; ``crowding`` is |w|_2^2 / |w|_1^2, 1 where all is in one weight."""
    return _off(problem, in_turn) * sqrt(loss * (AGAINST_MEAN**2 + AGAINST_SUM**2 * crowding))


def _off(problem: Problem, in_turn: int) -> float:
    """Return the root mean square error of an output whose loss is 1."""
    channels = channels_of(problem)
    one_by_one = min(channels, in_turn) + channels / in_turn
    return UNIT[problem.dtype] * sqrt(SQUARE * (one_by_one / 2 + TRANSFORMS))


@lru_cache(maxsize=64)
def _matrices(points: int, rows: int) -> tuple[Array, Array, Array]:
    """Return B, G and A of an axis, by rows."""
    from conv3d_cli.engine.cook_toom import cook_toom

    found = cook_toom(points - rows + 1, rows)
    inputs, kernel, outputs = (np.array(m, np.float64) for m in (found.inputs, found.kernel, found.outputs))
    return inputs, kernel, outputs


@lru_cache(maxsize=64)
def _outward(points: int, rows: int) -> Array:
    """Return what U^2 at a point adds to the loss of an output, [output][point]: A_ij^2 |B_j|^2."""
    inputs, _, outputs = _matrices(points, rows)
    weights: Array = np.square(outputs) * np.square(inputs).sum(axis=1)
    return weights


@lru_cache(maxsize=64)
def _losses(points: int, rows: int) -> Array:
    """Return the coefficients of the loss along an axis, [output][t][u]: the sum over j of A_ij^2 |B_j|^2 G_jt G_ju."""
    _, kernel, _ = _matrices(points, rows)
    weights: Array = np.einsum("ij,jt,ju->itu", _outward(points, rows), kernel, kernel)
    return weights
