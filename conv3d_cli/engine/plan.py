"""The choice of a method: every candidate is predicted, the fastest that keeps accuracy and memory is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np

from conv3d_cli.engine import isa, pace
from conv3d_cli.engine.blocks import Array, packed
from conv3d_cli.engine.candidate import ACCURACIES, Candidate
from conv3d_cli.engine.kept import KERNELS
from conv3d_cli.engine.methods import METHODS
from conv3d_cli.engine.offers import Request, refuse
from conv3d_cli.engine.problem import IN_ORDER, Problem
from conv3d_cli.engine.recycled import OUTPUTS
from conv3d_cli.errors import MethodError, OverLimit, UsageError, nearest
from conv3d_cli.frozen import frozen, replace
from conv3d_cli.limits import Limits
from conv3d_cli.shapes import Triple

T = TypeVar("T")


@frozen
class Plan:
    """How a problem will be served, and why; ``problem`` has its axes in memory order, ``asked`` as they were given."""

    problem: Problem
    asked: Problem
    candidate: Candidate
    candidates: tuple[Candidate, ...]
    why: str
    limits: Limits
    method_asked: str = "auto"
    accuracy: str = "default"

    @property
    def method(self) -> str:
        """Name of the method, a key of METHODS."""
        return self.candidate.method

    @property
    def threads(self) -> int:
        """Threads that the method may use."""
        return self.limits.threads

    @property
    def undecided(self) -> bool:
        """Whether it was made without the kernel, whose values may lead to another."""
        return self.candidate.at_worst is not None or any(c.unproven for c in self.candidates)

    @property
    def seconds(self) -> float:
        """Predicted time in seconds."""
        return self.candidate.seconds

    @property
    def scratch_bytes(self) -> int:
        """Predicted memory beside input and output, in bytes."""
        return self.candidate.scratch_bytes

    @cached_property
    def may_gain(self) -> bool:
        """Whether it pays to look at a kernel: whether its values may open a faster way, or must prove this one."""
        return any(_may_gain(self, candidate) for candidate in self.candidates)

    @cached_property
    def final(self) -> bool:
        """Whether no values, neither of an input nor of a kernel, would lead to another."""
        may_change = self.may_gain or self.candidate.at_worst is not None
        return not self.problem.multiply_adds or not (may_change or METHODS[self.method].unsuitable)


def choose(
    problem: Problem,
    limits: Limits,
    method: str = "auto",
    accuracy: str = "default",
    without: tuple[str, ...] = (),
    kernel: Array | None = None,
) -> Plan:
    """Return the plan for a problem: the fastest method that keeps the accuracy and fits in memory.

    ``method`` forces one by name. ``without`` leaves some out. With the ``kernel``, in Keras's layout, methods that its
    values open take part; without it only one that is forced does, and ``settle`` holds it to the values. Raises
    UsageError for an unknown name, MethodError for a forced method that cannot serve the problem, OverLimit where no
    method fits into ``limits.memory`` bytes.

    >>> from conv3d_cli.engine import Limits, Problem, choose
    >>> large = Problem(size=(128, 128, 128), kernel=(31, 31, 31))
    >>> choose(large, Limits(threads=2, memory=2**32)).method
    'fft'
    """
    if kernel is None:
        return _chosen(problem, limits, method, accuracy, without, pace.surroundings())
    return _choose(Request(problem, limits, method, accuracy, without), kernel)


def settle(plan: Plan, x: Array, kernel: Array) -> Plan:
    """Return the plan that the values themselves allow: a better one if they open it, another if they rule it out.

    ``x`` is (N, C, D, H, W), ``kernel`` in Keras's layout. Raises MethodError if the method had been forced.
    """
    plan = seen(plan, kernel)
    ruled_out: list[str] = []
    first = ""
    while (check := METHODS[plan.method].unsuitable) and (reason := check(plan.problem, x, kernel, plan.threads)):
        if plan.method_asked != "auto":
            raise MethodError(f"method {plan.method!r}: would spread them: got {reason}, expected finite values")
        ruled_out.append(plan.method)
        first = first or reason
        plan = choose(plan.asked, plan.limits, accuracy=plan.accuracy, without=tuple(ruled_out), kernel=kernel)
    if not ruled_out:
        return plan
    return replace(plan, why=f"{first}, which {' and '.join(ruled_out)} would spread; {plan.why}")


def seen(plan: Plan, kernel: Array) -> Plan:
    """Return the plan that the values of the kernel allow, whatever those of the input will be."""
    if plan.may_gain or plan.candidate.at_worst is not None:
        try:
            return KERNELS.get(("plan", plan, isa.active()), kernel, lambda: _seen(plan, kernel), size=lambda _: 0)
        except OverLimit:  # memory that just holds the plan may not hold what the values open
            if plan.candidate.unproven is not None or plan.candidate.at_worst is not None:
                raise
    return plan


def alike(plan: Plan, problem: Problem, kernel: Array) -> Plan:
    """Return the plan for another problem, a part of the plan's own say, by the same method if that can serve it.

    Where it cannot, the fastest method that can is taken. If the plan holds its accuracy locally, so does this one.
    Raises MethodError or OverLimit if there is none.
    """
    row, turned, local = METHODS[plan.method], _turned(kernel, problem.order), plan.candidate.local
    request = Request(problem, plan.limits, plan.method, plan.accuracy)
    offered = list(request.offers_of(row, turned))
    offered = [c if c.local or not local else refuse(c, "accurate only in a whole tile") for c in offered]
    if not any(candidate.refused is None for candidate in offered):
        return choose(problem, plan.limits, accuracy="strict" if local else plan.accuracy, kernel=kernel)
    same = _proved(request, turned, offered)
    return replace(same, method_asked=plan.method_asked)


def execute(
    plan: Plan,
    x: Array,
    kernel: Array,
    bias: Array | None,
    out: Array | None = None,
    tick: Callable[[float], None] | None = None,
    settled: bool = False,
) -> Array:
    """Carry out a plan and return the output ``(N, F, D', H', W')``.

    ``x`` is ``(N, C, D, H, W)`` with any strides, ``kernel`` ``(kd, kh, kw, C // groups, F)``, ``bias`` ``(F,)`` or
    None, all of the problem's dtype. ``out`` may have any strides and is filled if given. ``tick`` hears the share
    done, ``settled`` says that the values were looked at already.
    """
    if not (settled or plan.final):
        plan = settle(plan, x, kernel)
    order, problem = plan.asked.order, plan.problem
    if problem.batch != x.shape[0]:
        problem = replace(problem, batch=x.shape[0])
    target = OUTPUTS.empty(problem.output_shape, problem.dtype) if out is None else _sorted(out, order)
    if target.size and problem.multiply_adds:
        METHODS[plan.method].run(
            problem,
            _sorted(x, order),
            packed(_turned(kernel, order)),
            bias,
            target,
            threads=plan.threads,
            tick=tick,
            **plan.candidate.settings,
        )
    elif target.size:
        target[...] = 0 if bias is None else bias[:, None, None, None]
    return target.transpose(0, 1, *(2 + int(i) for i in np.argsort(order))) if out is None else out


def known(name: str, table: Mapping[str, T], kind: str) -> T:
    """Return the row of a table, or raise UsageError with what there is."""
    if name not in table:
        raise UsageError(f"{kind}: unknown: got {name!r}, expected one of {', '.join(table)}{nearest(name, table)}")
    return table[name]


@lru_cache(maxsize=256)
def _chosen(
    problem: Problem,
    limits: Limits,
    method: str,
    accuracy: str,
    without: tuple[str, ...],
    surroundings: tuple[object, ...],
) -> Plan:
    """Return the plan for a problem whose kernel is not known: always the same in the same surroundings."""
    return _choose(Request(problem, limits, method, accuracy, without), None)


def _choose(request: Request, kernel: Array | None) -> Plan:
    known(request.accuracy, ACCURACIES, "accuracy")
    known(request.method, {"auto": None, **METHODS}, "method")
    if not request.problem.multiply_adds:
        nothing = Candidate("reference" if request.method == "auto" else request.method, detail="nothing to sum")
        return _planned(request, nothing, (nothing,), "the output is empty")
    if request.out_of_reach:
        raise request.over(0)
    if kernel is None:
        return _fastest(request, request.offers(None))
    turned = _turned(kernel, request.problem.order)
    return _proved(request, turned, request.offers(turned))


def _fastest(request: Request, offered: list[Candidate]) -> Plan:
    open_ways = sorted((c for c in offered if c.refused is None), key=lambda c: c.seconds)
    if not open_ways:
        raise request.no_way(offered)
    return _planned(request, open_ways[0], tuple(offered), request.why(open_ways, offered))


def _planned(request: Request, candidate: Candidate, offered: tuple[Candidate, ...], why: str) -> Plan:
    problem, limits = request.problem, request.limits
    inner = problem.in_memory_order()
    return Plan(inner, problem, candidate, offered, why, limits, request.method, request.accuracy)


def _seen(plan: Plan, kernel: Array) -> Plan:
    """Return the plan that the kernel's values allow: what may gain by them is offered anew, the rest stays."""
    turned = _turned(kernel, plan.asked.order)
    request = Request(plan.asked, plan.limits, plan.method_asked, plan.accuracy)
    offered: list[Candidate] = []
    for name, row in METHODS.items():
        if row.offers is None or not plan.may_gain:
            offered += [c for c in plan.candidates if c.method == name]
        else:
            offered += request.offers_of(row, turned)
    return _proved(request, turned, offered)


def _proved(request: Request, turned: Array, offered: list[Candidate]) -> Plan:
    """Return the fastest plan that keeps its accuracy with this very kernel: by other tiles, or by another method."""
    try:
        plan = _fastest(request, offered)
        if plan.candidate.at_worst is None:
            return plan
    except OverLimit:  # which is to name what the kernel needs
        if all(c.at_worst is None for c in offered):
            raise
    proved: list[Candidate] = []
    for name, row in METHODS.items():
        each = [c for c in offered if c.method == name]
        if any(c.at_worst is not None for c in each):
            each = list(request.offers_of(row, turned, proving=True))
        proved += each
    return _fastest(request, proved)


def _turned(kernel: Array, order: Triple) -> Array:
    return kernel if order == IN_ORDER else kernel.transpose(*order, 3, 4)


def _sorted(block: Array, order: Triple) -> Array:
    return block if order == IN_ORDER else block.transpose(0, 1, *(2 + axis for axis in order))


def _may_gain(plan: Plan, candidate: Candidate) -> bool:
    """Whether it pays to look at the kernel: what its values open is not faster than was predicted without them."""
    if plan.method_asked not in ("auto", candidate.method):
        return False
    if candidate.unproven is not None:
        return plan.method == candidate.method or candidate.seconds < plan.seconds
    return plan.method != candidate.method and candidate.at_best is not None and candidate.at_best < plan.seconds
