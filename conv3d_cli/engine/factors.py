"""Kernels as short sums of outer products of three vectors, with what is left over.

One product is read off the kernel itself: the three lines through its largest entry (the cross approximation of rank 1
[Goreinov, Tyrtyshnikov, Zamarashkin 1997]), which keeps entries of zero exactly. Sums of products come from two
singular value decompositions, one nested in the other, as in the hierarchical form of Tucker's [De Lathauwer et al.
2000]: the kernel cut along one axis, and each matrix that this leaves.
"""

from __future__ import annotations

import numpy as np

from conv3d_cli.engine.blocks import Array
from conv3d_cli.frozen import frozen

ROUNDINGS = 8.0
"""A kernel is one product if each of its entries is, within so many units of its own rounding."""

MOST_TERMS = 4

LEAST_TERM = 1e-20
"""Share of a kernel below which a term is nothing but the decomposition's own rounding, or none."""


@frozen
class Factors:
    """The sum of ``outer(a[t], b[t], c[t])`` over t, float64, along D, H and W; ``a`` and ``b`` have the 1-norm 1.

    ``residual`` is the 1-norm of what is left over, and ``growth`` that of all terms, relative to that of the kernel.
    """

    a: Array
    b: Array
    c: Array
    residual: float
    growth: float

    @property
    def terms(self) -> int:
        """Products in the sum."""
        return len(self.a)

    def whole(self) -> Array:
        """Return the kernel that the sum is.

        >>> factors(np.ones((2, 3, 4), "f4"), 0.0).whole().shape
        (2, 3, 4)
        """
        total: Array = np.einsum("ti,tj,tk->ijk", self.a, self.b, self.c)
        return total


def factors(kernel: Array, residual: float, most: int = MOST_TERMS) -> Factors | None:
    """Return the kernel (kd, kh, kw) as a sum of at most ``most`` products, or None if it is none.

    One product must be exact to rounding; several may leave ``residual`` of the kernel's 1-norm over.

    >>> smooth = np.array([1.0, 2.0, 1.0])
    >>> factors(np.einsum("i,j,k->ijk", smooth, smooth, smooth), 0.0).terms
    1
    >>> factors(np.random.default_rng(0).standard_normal((5, 5, 5)), 1e-6) is None
    True
    """
    if not np.isfinite(kernel).all():
        return None
    one = _product(kernel)
    if one is not None or most < 2:
        return one
    whole = kernel.astype(np.float64)
    if _of_higher_rank(whole, residual, most):
        return None
    sums = [found for axis in range(3) if (found := _sum(whole, axis, residual, most)) is not None]
    return min(sums, key=lambda found: (found.terms, found.residual), default=None)


def _product(kernel: Array) -> Factors | None:
    whole = kernel.astype(np.float64)
    place = np.unravel_index(int(np.argmax(np.abs(whole))), whole.shape)
    peak = float(whole[place])
    if peak == 0:
        zeros = [np.zeros((1, n)) for n in whole.shape]
        return Factors(zeros[0], zeros[1], zeros[2], 0.0, 1.0)
    i, j, k = place
    a, b, c = whole[:, j, k], whole[i, :, k] / peak, whole[i, j, :] / peak
    left = np.abs(whole - a[:, None, None] * b[:, None] * c)
    info = np.finfo(kernel.dtype)
    if (left > ROUNDINGS * info.eps * np.abs(whole) + min(4 * info.tiny, 1e-12 * abs(peak))).any():
        return None
    return _normed(a[None], b[None], c[None], whole)


def _of_higher_rank(whole: Array, residual: float, most: int) -> bool:
    """Whether no sum of so many products can be so near: each of them adds 1 at most to the rank of any cut.

    The singular values beyond bound what is left from below; those here are the roots of eigenvalues, to about 1e-8 of
    the largest.
    """
    cut = whole.reshape(whole.shape[0], -1)
    squares = np.linalg.eigvalsh(cut @ cut.T)
    beyond = float(squares[: max(len(squares) - most, 0)].sum())
    return beyond > (residual * float(np.abs(whole).sum())) ** 2 + 1e-14 * float(squares[-1])


def _sum(whole: Array, axis: int, residual: float, most: int) -> Factors | None:
    """Return the sum that the singular vectors give, with the kernel cut along one axis first."""
    turned = np.moveaxis(whole, axis, 0)
    first, size, rest = np.linalg.svd(turned.reshape(turned.shape[0], -1), full_matrices=False)
    found: list[tuple[float, Array, Array, Array]] = []
    for s, u, matrix in zip(size[:most], first.T, rest, strict=False):
        left, inner, right = np.linalg.svd(matrix.reshape(turned.shape[1:]), full_matrices=False)
        sizes = [float(s * n) for n in inner[:most]]
        found += [(n, n * u, left[:, i], right[i]) for i, n in enumerate(sizes) if n > LEAST_TERM * size[0]]
    found.sort(key=lambda term: -term[0])
    for terms in range(1, min(most, len(found)) + 1):
        lines = [np.array([term[n] for term in found[:terms]]) for n in (1, 2, 3)]
        lines.insert(axis, lines.pop(0))
        result = _normed(lines[0], lines[1], lines[2], whole)
        if result.residual <= residual:
            return result
    return None


def _normed(a: Array, b: Array, c: Array, whole: Array) -> Factors:
    """Put the size of each term into ``c``, so that no sum along D and H grows beyond the input."""
    norms = [np.abs(v).sum(1, keepdims=True) for v in (a, b)]
    a, b, c = a / norms[0], b / norms[1], c * norms[0] * norms[1]
    total = float(np.abs(whole).sum())
    left = np.abs(whole - np.einsum("ti,tj,tk->ijk", a, b, c)).sum()
    return Factors(a, b, c, float(left) / total, float(np.abs(c).sum()) / total)
