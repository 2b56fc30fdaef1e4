"""The method ``separable``: kernels that are an outer product of three vectors, or a short sum of such products.

A kernel of k^3 taps then costs 3 k multiply-adds a voxel and term, and a long box hardly more than a short one. Only
the kernel's values tell whether it is one, so a plan made from shapes alone leaves the method closed, and ``settle``
opens it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conv3d_cli.engine import isa as isas
from conv3d_cli.engine.blocks import Array, packed, whole_strides
from conv3d_cli.engine.candidate import Accuracy, Candidate
from conv3d_cli.engine.edges import native_boundary
from conv3d_cli.engine.factors import MOST_TERMS, Factors, factors
from conv3d_cli.engine.fft import not_finite
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.problem import ITEMSIZE, Problem
from conv3d_cli.engine.separable_layout import Boxes, box_allowed, layout_of
from conv3d_cli.engine.threads import carry_out
from conv3d_cli.errors import MethodError
from conv3d_cli.frozen import frozen

STREAM_BYTES = 8 << 20  # outputs of so many bytes go past the cache
ROUNDING = 1e-6  # error of the sums, as of the direct method's
RESIDUAL = {"float32": 0.25, "float64": 1e-10}
"""What several terms may leave of a kernel, as a share of the error that the user accepts."""
MOST_PAIRS = 256  # of a channel and a filter, that are looked at

UNSEEN = "open to outer products of three vectors: the kernel's values were not looked at"
NEITHER = f"the kernel is no outer product of three vectors, nor a sum of up to {MOST_TERMS}"


def candidates(problem: Problem, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what the method would offer for an outer product, ``unproven`` until the kernel is there."""
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("separable", refused=reason)]
    terms = problem.channels // problem.groups
    return [_candidate(problem, terms, box_allowed(problem), threads, 0.0, 1.0, UNSEEN)]


def offers(problem: Problem, kernel: Array, threads: int, accuracy: Accuracy, memory: int) -> list[Candidate]:
    """Return what the method offers for this very kernel, (kd, kh, kw, C / groups, F) as the problem has its axes."""
    reason = refusal(problem)
    if reason is not None:
        return [Candidate("separable", refused=reason)]
    residual = RESIDUAL[problem.dtype] * accuracy.error
    sums = _sums(kernel, residual)
    if sums is None:
        return [Candidate("separable", refused=NEITHER)]
    box = _boxes(problem, sums)
    return [_candidate(problem, sums.terms, box, threads, residual, sums.growth + sums.residual / ROUNDING, None)]


def refusal(problem: Problem) -> str | None:
    """Return why this method cannot serve problems of such a shape, or None."""
    channels = problem.channels // problem.groups
    if isas.active() == isas.NUMPY:
        return f"no compiled kernel: {isas.why_missing()}"
    if problem.taps == 1:
        return "the kernel is one voxel"
    if channels > MOST_TERMS:
        return f"more than {MOST_TERMS} channels in a group"
    if channels * problem.filters > MOST_PAIRS:
        return f"more than {MOST_PAIRS} pairs of a channel and a filter"
    return None


def unsuitable(problem: Problem, x: Array, kernel: Array, threads: int = 1) -> str | None:
    """Return why this data may not be summed term by term, or None: infinities of two terms may cancel to NaN."""

    def single() -> bool:
        return all(factors(kernel[..., c, f], 0.0, 1) for c, f in np.ndindex(kernel.shape[3:]))

    if KERNELS.get("separable: single products", kernel, single, size=lambda _: 0):
        return None
    return not_finite("input", x)


def run(
    problem: Problem,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array,
    *,
    residual: float,
    threads: int,
    tick: Callable[[float], None] | None = None,
    isa: str | None = None,
) -> None:
    """Compute the convolution of ``x`` (N, C, D, H, W) into ``out`` (N, F, D', H', W'), both of any strides.

    ``kernel`` (kd, kh, kw, C / groups, F) must be a short sum of outer products but for ``residual``, else MethodError
    is raised. ``tick`` is called now and then with the fraction done. The result has the same bits for any number of
    threads.
    """
    if 0 in out.shape:
        return
    if not (whole_strides(x) and whole_strides(out)):
        whole = np.empty(out.shape, out.dtype)
        run(problem, x.copy(), kernel, bias, whole, residual=residual, threads=threads, tick=tick, isa=isa)
        out[...] = whole
        return
    sums, module = _sums(kernel, residual), isas.native()
    if sums is None or module is None:
        raise MethodError(f"method: 'separable' cannot run: {NEITHER if module is not None else isas.why_missing()}")
    isa = isa or isas.active()
    box = _boxes(problem, sums)
    layout = layout_of(problem, sums.terms, threads, isa, box)
    job = module.Separable(
        isa,
        x,
        sums.weights_of(box),
        sums.channels,
        native_boundary(problem),
        packed(bias),
        out,
        groups=problem.groups,
        strides=problem.strides,
        dilation=problem.dilation,
        before=tuple(before for before, _ in problem.padding),
        box=box,
        tile=layout.tile,
        stream=out.nbytes >= STREAM_BYTES,
    )
    carry_out(job, threads, seconds=layout.seconds, tick=tick)


@frozen
class Sums:
    """The vectors along D, H and W as (filters, terms, taps), and the channel of each term of each filter.

    ``constant`` tells along which axes each vector has one value, ``residual`` and ``growth`` are the largest of those
    of the factors.
    """

    weights: tuple[Array, Array, Array]
    channels: list[int]
    constant: Boxes
    residual: float
    growth: float

    @property
    def terms(self) -> int:
        """Products in the sum of each filter."""
        return int(self.weights[0].shape[1])

    def weights_of(self, box: Boxes) -> list[Array]:
        """Return the vectors; those of a box along W are 1, and what they were is in those along H."""
        d, h, w = self.weights
        return [d, h * w[..., :1], np.ones_like(w)] if box[2] else [d, h, w]


def _candidate(
    problem: Problem, terms: int, box: Boxes, threads: int, residual: float, roundings: float, unproven: str | None
) -> Candidate:
    layout = layout_of(problem, terms, threads, isas.active(), box)
    weights = ITEMSIZE[problem.dtype] * problem.filters * terms * sum(problem.kernel)
    each = "one outer product" if terms == 1 else f"{terms} outer products"
    axes = "" if unproven else ", ".join(f"a box along {axis}" for axis, boxed in zip("DHW", box, strict=True) if boxed)
    return Candidate(
        "separable",
        seconds=layout.seconds,
        scratch_bytes=threads * layout.scratch_bytes + 2 * weights,
        error=ROUNDING * roundings,
        detail=f"{each} a filter{axes and f' ({axes})'}, passes fused in cache, {isas.active()}",
        residual=residual,
        unproven=unproven,
    )


def _boxes(problem: Problem, sums: Sums) -> Boxes:
    """Return along which axes the kernel's equal weights are summed as a box."""
    d, h, w = (long and same for long, same in zip(box_allowed(problem), sums.constant, strict=True))
    return d, h, w


def _sums(kernel: Array, residual: float) -> Sums | None:
    """Return the sums that a kernel (kd, kh, kw, C / groups, F) is, or None: found once for each kernel."""

    def size(sums: Sums | None) -> int:
        return 0 if sums is None else sum(w.nbytes for w in sums.weights)

    return KERNELS.get(("separable", residual), kernel, lambda: _decomposed(kernel, residual), size)


def _decomposed(kernel: Array, residual: float) -> Sums | None:
    """Return the sums, of as many terms for each filter.

    A filter of fewer terms than others is filled up with zeros, which its first channel takes: they carry a NaN no
    farther than the channel's own term does.
    """
    found = _found(kernel, residual)
    if found is None:
        return None
    terms = max(sum(one.terms for one in pair) for pair in found)
    d, h, w = (np.zeros((len(found), terms, n), kernel.dtype) for n in kernel.shape[:3])
    channels: list[int] = []
    for f, pair in enumerate(found):
        order = [c for c, one in enumerate(pair) for _ in range(one.terms)]
        rest = terms - len(order)
        for name, lines in zip("abc", (d, h, w), strict=True):
            lines[f, rest:] = np.concatenate([getattr(one, name) for one in pair])
        channels += [0] * rest + order
    left, growth = (max(getattr(one, name) for pair in found for one in pair) for name in ("residual", "growth"))
    constant = tuple(bool((lines == lines[..., :1]).all()) for lines in (d, h, w))
    return Sums((d, h, w), channels, (constant[0], constant[1], constant[2]), left, growth)


def _found(kernel: Array, residual: float) -> list[list[Factors]] | None:
    """Return the factors of each filter, channel by channel; None if a kernel has none, or a filter too many."""
    found: list[list[Factors]] = []
    for f in range(kernel.shape[4]):
        found.append([])
        for c in range(kernel.shape[3]):
            pair = factors(kernel[..., c, f], residual, MOST_TERMS - sum(one.terms for one in found[-1]))
            if pair is None:
                return None
            found[-1].append(pair)
        if sum(one.terms for one in found[-1]) > MOST_TERMS:
            return None
    return found
