"""The engine's methods, each by the call that a user makes, which plans, looks at the kernel and gets memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from conv3d_cli.bench.cases import Case
from conv3d_cli.engine import METHODS, Limits, Plan, choose, convolve_array, settle
from conv3d_cli.engine.blocks import Array
from conv3d_cli.errors import MethodError, OverLimit
from conv3d_cli.frozen import frozen

SLOWER, LONG = 6.0, 0.1
"""How many times slower than the chosen one a method may be predicted, and in how many seconds, to take part."""


@frozen
class Way:
    """A method that serves a case: its plan, and the call to be timed, whose result is (N, F, D', H', W')."""

    plan: Plan
    call: Callable[[], Array]


def ways_of(case: Case, x: Array, kernel: Array, limits: Limits) -> tuple[str, dict[str, Way], dict[str, str]]:
    """Return the name of the chosen method, every method that serves the case, and why the others do not.

    One that is predicted to take long, and far longer than the chosen one, is left out.
    Raises OverLimit where none fits into memory.
    """
    chosen = settle(choose(case.problem, limits), x, kernel)
    ways, closed = {chosen.method: Way(chosen, _call(case, x, kernel, limits, "auto"))}, {}
    for name in METHODS:
        if name == chosen.method:
            continue
        try:
            plan = settle(choose(case.problem, limits, name, kernel=kernel), x, kernel)
        except (MethodError, OverLimit) as error:
            closed[name] = str(error).split(f" {name}: ")[-1]
            continue
        if plan.seconds > max(LONG, SLOWER * chosen.seconds):
            closed[name] = f"predicted to take {plan.seconds:.3g} s"
        else:
            ways[name] = Way(plan, _call(case, x, kernel, limits, name))
    return chosen.method, ways, closed


def _call(case: Case, x: Array, kernel: Array, limits: Limits, method: str) -> Callable[[], Array]:
    given = np.moveaxis(x, 1, -1) if case.last else x
    call = partial(
        convolve_array, case.problem, given, kernel, None, channels_last=case.last, limits=limits, method=method
    )
    return (lambda: np.moveaxis(call(), -1, 1)) if case.last else call
