"""Times of several ways to do the same: they take turns, round after round, and each result is judged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from conv3d_cli.frozen import field, mutable

PAUSE = 0.1
"""Seconds in which the threads that another library leaves spinning go to sleep."""

LONG = 6.0
"""Budgets that a first call may take to be followed by others."""

HOPELESS = 5.0
"""How many times slower than the fastest a way may be to be called more often than FEW times."""

FEW = 2


@mutable
class Times:
    """Seconds of each call that counts, and the worst error of any."""

    seconds: list[float] = field(default_factory=list)
    error: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return best and median in ms, how many calls that were, and the error."""
        return {
            "best_ms": round(min(self.seconds) * 1e3, 4),
            "median_ms": round(median(self.seconds) * 1e3, 4),
            "calls": len(self.seconds),
            "error": self.error,
        }


class Wrong(Exception):  # noqa: N818 - reads as what it is: a wrong result
    """A result is not what it must be."""


def take_turns(
    calls: Mapping[str, Callable[[], Any]],
    judge: Callable[[str, Any], float],
    rounds: int,
    budget: float,
    pause: Callable[[str], float] = lambda name: PAUSE,
) -> tuple[dict[str, Times], dict[str, Exception]]:
    """Return the times of each call by its name, and the exceptions of those that failed.

    The first call of each warms up and counts only where it took over LONG budgets, and no other follows. In each round
    the order is another, for what a call finds in the caches is what the one before it left. ``judge(name, result)``
    returns the error of a result or raises Wrong. A call is not repeated once it has used ``budget`` seconds,
    FEW calls at least, nor more often than FEW where it is far slower than the fastest; ``pause(name)`` is how long to
    wait after it.
    """
    times: dict[str, Times] = {}
    failed: dict[str, Exception] = {}

    def once(name: str) -> float:
        start = time.perf_counter()
        result = calls[name]()
        seconds = time.perf_counter() - start
        times[name].error = max(times[name].error, judge(name, result))
        time.sleep(pause(name))
        return seconds

    again = []
    for name in calls:
        times[name] = Times()
        try:
            first = once(name)
        except Exception as error:  # whatever another library may raise
            failed[name] = error
            continue
        if first > LONG * budget:
            times[name].seconds.append(first)
        else:
            again.append(name)
    order = random.Random(0)
    for _ in range(rounds):
        fastest = min((min(done.seconds) for done in times.values() if done.seconds), default=0.0)
        for name in order.sample(again, len(again)):
            spent = times[name].seconds
            if len(spent) < FEW or (sum(spent) < budget and min(spent) <= HOPELESS * fastest):
                spent.append(once(name))
    return {name: done for name, done in times.items() if name not in failed}, failed
