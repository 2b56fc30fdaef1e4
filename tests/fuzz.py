"""Small random problems through every method and every way of each, at every instruction set, against the oracle.

    python tests/fuzz.py --count 20000 --jobs 2

A problem is a number: what fails is told with the command that does it again.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from unittest import mock

import numpy as np
from fuzz_bounds import Exact, same_outside
from fuzz_problems import STORAGES, Case, random_case
from fuzz_ways import ROOM, offered, turned

from conv3d_cli.engine import ACCURACIES, METHODS, Limits, choose, execute, isa, settle
from conv3d_cli.errors import MethodError, OverLimit

ISAS = isa.available() or ("",)
CHUNK = 50
MOST_WAYS = 2


@dataclass
class Tally:
    """What was run: counts by method and instruction set, the ways seen, the worst error as a share of its bound."""

    problems: int = 0
    runs: Counter = field(default_factory=Counter)
    declined: Counter = field(default_factory=Counter)
    ways: dict[str, set[str]] = field(default_factory=dict)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.problems += other.problems
        self.runs += other.runs
        self.declined += other.declined
        self.failures += other.failures
        for method, ways in other.ways.items():
            self.ways.setdefault(method, set()).update(ways)
        for method, found in other.worst.items():
            self.worst[method] = max(found, self.worst.get(method, (0.0, 0)))

    def ran(self, seed: int, candidate, name: str, ratio: float) -> None:
        self.runs[candidate.method, name] += 1
        self.ways.setdefault(candidate.method, set()).add(repr(candidate.settings))
        self.worst[candidate.method] = max((ratio, seed), self.worst.get(candidate.method, (0.0, 0)))

    def __str__(self) -> str:
        lines = [f"{self.problems} problems, {self.runs.total()} runs, {len(self.failures)} failures"]
        for method in METHODS:
            counts = ", ".join(f"{name or 'numpy'} {self.runs[method, name]}" for name in ISAS)
            ratio, seed = self.worst.get(method, (0.0, 0))
            lines.append(
                f"  {method}: runs {counts}; {len(self.ways.get(method, ()))} settings; "
                f"{self.declined[method]} declined; worst error {ratio:.2f} of its bound (seed {seed})"
            )
        return "\n".join(lines)


class WrongError(Exception):
    """A result that breaks a promise."""


def run_case(seed: int, tally: Tally) -> None:
    """Run one problem in every way."""
    rng = np.random.default_rng([seed, 1])
    case = random_case(seed)
    exact = Exact(case)
    before = [None if a is None else a.tobytes() for a in (case.x, case.kernel, case.bias)]
    turn = rng.random() < 0.7
    with turned(rng, costs=turn) if turn else turned(rng, ("INLINE_SECONDS",), costs=False):
        for method in ("auto", *METHODS):
            name = ISAS[int(rng.integers(len(ISAS)))]
            with mock.patch.dict(os.environ, {isa.VARIABLE: name}):
                try:
                    _run_method(exact, seed, method, name, rng, tally)
                except Exception as error:  # whatever it is, it is told with its number
                    words = str(error) if isinstance(error, WrongError) else repr(error)
                    tally.failures.append(f"python tests/fuzz.py --seed {seed} --count 1: {method} {name}: {words}")
    if before != [None if a is None else a.tobytes() for a in (case.x, case.kernel, case.bias)]:
        tally.failures.append(f"python tests/fuzz.py --seed {seed} --count 1: an input was changed")
    tally.problems += 1


def _plans(case: Case, method: str, threads: int, rng):
    """Yield plans: some of those that a method offers, and the planner's own, with or without the kernel's values."""
    if method != "auto" and case.problem.multiply_adds:
        plans = offered(case.problem, case.kernel, method, threads, rng)
        yield from (plans[i] for i in rng.permutation(len(plans))[:MOST_WAYS])
    for accuracy in ACCURACIES if method == "auto" else rng.choice(list(ACCURACIES), int(rng.random() < 0.1)):
        kernel, memory = case.kernel if rng.random() < 0.5 else None, ROOM
        with suppress(MethodError):
            if rng.random() < 0.2:
                memory = _least(case, method, threads, accuracy, kernel)
            yield choose(case.problem, Limits(threads, memory), method, accuracy, kernel=kernel)


def _least(case: Case, method: str, threads: int, accuracy: str, kernel) -> int:
    """Return the memory that the planner says is needed, of which one byte less must be too little."""
    try:
        choose(case.problem, Limits(threads, 1), method, accuracy, kernel=kernel)
    except OverLimit as error:
        needed = error.needed
    else:
        return ROOM
    try:
        plan = choose(case.problem, Limits(threads, needed - 1), method, accuracy, kernel=kernel)
    except OverLimit:
        return needed
    raise WrongError(f"{plan.candidate} fits into less than the {needed} bytes that were asked for")


def _run_method(exact: Exact, seed: int, method: str, name: str, rng, tally: Tally) -> None:
    case = exact.case
    for plan in _plans(case, method, int(rng.choice([1, 2, 3])), rng):
        others = {1, 2, 3} - {plan.threads}
        plans = [plan, replace(plan, limits=Limits(int(rng.choice(sorted(others))), ROOM))]
        try:
            taken = _settled(case, plan)
            target = case.target if rng.random() < 0.7 else None
            outs = [_carried_out(case, plan, target)]
            if all(_settled(case, each) is each for each in plans):  # else with more memory another way may be taken
                outs.append(_carried_out(case, plans[1], target))
        except (MethodError, OverLimit) as error:
            # What a method is forced to spread it refuses; what it hands over may need more memory.
            allowed = plan.limits.memory < ROOM if isinstance(error, OverLimit) else method != "auto"
            unsure = plan.candidate.unproven or plan.candidate.at_worst
            if not (allowed and (case.hostile or unsure)):
                raise
            tally.declined[method] += 1
            continue
        words = f"{plan.accuracy}, {plan.threads} threads, {taken.candidate.detail}: "
        if not taken.candidate.keeps(ACCURACIES[plan.accuracy]):
            raise WrongError(f"{words}{taken.candidate} is less accurate than asked")
        if outs[-1].tobytes() != outs[0].tobytes():
            where = tuple(int(i) for i in np.argwhere(outs[-1] != outs[0])[0]) if (outs[-1] != outs[0]).any() else ...
            raise WrongError(
                f"{words}with {plans[1].threads} threads {outs[-1][where]!r} at {where}, not {outs[0][where]!r}"
            )
        ratio, told = exact.excess(taken.candidate, outs[0])
        if told:
            raise WrongError(f"{words}{told} ({case.problem}, {case.kinds})")
        tally.ran(seed, taken.candidate, name, ratio)


def _settled(case: Case, plan):
    """Return the plan that the values of a case lead to."""
    return settle(plan, case.x, case.kernel) if case.problem.multiply_adds else plan


def _carried_out(case: Case, plan, target: str | None) -> np.ndarray:
    """Return the output of a plan, written to an array of the storage that is named, and nowhere else."""
    problem = case.problem
    if target is None:
        return execute(plan, case.x, case.kernel, case.bias)
    out = STORAGES[target](problem.output_shape, problem.dtype)
    if execute(plan, case.x, case.kernel, case.bias, out) is not out:
        raise WrongError("another array than the one given came back")
    kept = out.copy()
    if not same_outside(out, STORAGES[target](problem.output_shape, problem.dtype)):
        raise WrongError(f"{plan.candidate.detail}: something was written outside of the output")
    return kept


def run(seed: int, count: int, first: bool = False) -> Tally:
    """Run ``count`` problems from the number ``seed`` on, in this process; only up to the first failure if asked."""
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(seed, seed + count):
            run_case(number, tally)
            if first and tally.failures:
                break
    return tally


def run_jobs(seed: int, count: int, jobs: int) -> Tally:
    """The same in several processes; one that dies names the chunk that it was in."""
    tally = Tally()
    chunks = [(start, min(CHUNK, seed + count - start)) for start in range(seed, seed + count, CHUNK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=faulthandler.enable) as pool:
        futures = [(pool.submit(run, *chunk), chunk) for chunk in chunks]
        for future, (start, length) in futures:
            try:
                tally.add(future.result())
            except BrokenProcessPool:
                tally.failures.append(f"a process died: python tests/fuzz.py --seed {start} --count {length} --jobs 1")
                break
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="number of the first problem")
    parser.add_argument("--count", type=int, default=1000, help="problems")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first", action="store_true", help="stop at the first failure; in one process")
    given = parser.parse_args()
    began = time.monotonic()
    if given.first or given.jobs == 1:
        tally = run(given.seed, given.count, given.first)
    else:
        tally = run_jobs(given.seed, given.count, given.jobs)
    for line in tally.failures:
        print(line)
    print(tally)
    print(f"  {time.monotonic() - began:.0f} s, seeds {given.seed} to {given.seed + given.count - 1}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
