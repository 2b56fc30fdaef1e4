"""What Python names to compiled code: numbers near the ends of their range, and arrays that begin anywhere.

A method is carried out once, and every native object that it makes is noted with its arguments. Then the job is made
again and again, each time with one of all these arguments altered: that is refused, or it changes no bit of the output.
The same under ``tests/sanitize.py`` shows that no number overflows on the way to the refusal.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from support import compiled

from conv3d_cli.engine import Limits, Problem, choose, direct, edges, execute, isa, toom, winograd
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.kept import KERNELS

pytestmark = compiled

CLASSES = [name for name, kind in vars(isa.native()).items() if isinstance(kind, type)] if isa.native() else []
FAR = (-(2**63), -(2**62), 2**62, 2**63 - 1)
SAME = ((1, 1),) * 3
CASES = {
    "direct": ("Job", Problem((7, 8, 9), (3, 3, 3), padding=SAME, channels=4, filters=4)),
    "direct around": ("Job", Problem((7, 8, 9), (3, 2, 4), (2, 1, 1), padding=SAME, boundary=Boundary("reflect"))),
    "toom": ("Job", Problem((7, 8, 9), (3, 3, 3), padding=SAME, channels=2, filters=4)),
    "pointwise": ("Pointwise", Problem((7, 8, 9), (1, 1, 1), channels=4, filters=5)),
    "separable": ("Separable", Problem((7, 28, 29), (3, 9, 11), padding=SAME, boundary=Boundary("wrap"))),
    "winograd": ("WinogradJob", Problem((7, 8, 9), (3, 3, 3), padding=SAME, channels=4, filters=4)),
    "winograd strided": ("WinogradJob", Problem((9, 9, 9), (3, 3, 3), (2, 2, 2), padding=SAME, channels=4)),
    "fft": ("FftJob", Problem((12, 12, 12), (3, 3, 3), padding=SAME, channels=4, filters=8)),
    "fft around": ("FftLongJob", Problem((20, 20, 20), (17, 17, 17), padding=SAME, boundary=Boundary("constant", 2.0))),
}


class Noted:
    """The native objects that were made, each with its class and its arguments."""

    def __init__(self) -> None:
        self.calls: dict[int, tuple] = {}
        self.objects: list = []  # kept, so that no two have one number

    def maker(self, kind):
        def make(*positional, **named):
            self.objects.append(kind(*positional, **named))
            self.calls[id(self.objects[-1])] = (kind, positional, named)
            return self.objects[-1]

        return make

    def places(self, value, path=()):
        """Yield where among the arguments of a value, and of those of its own, numbers and arrays are."""
        if id(value) in self.calls:
            _, positional, named = self.calls[id(value)]
            value = [*positional, *named.values()]
        if isinstance(value, (list, tuple)):
            for i, each in enumerate(value):
                yield from self.places(each, (*path, i))
        elif isinstance(value, np.ndarray) or (isinstance(value, int) and not isinstance(value, bool)):
            yield path, value

    def again(self, value, path, new):
        """Return a value made anew, with ``new`` at the place ``path``."""
        if path == ():
            return new
        if id(value) in self.calls:
            kind, positional, named = self.calls[id(value)]
            given = self.again([*positional, *named.values()], path, new)
            made = kind(*given[: len(positional)], **dict(zip(named, given[len(positional) :], strict=True)))
            prepare(made, given)
            return made
        return [self.again(each, path[1:], new) if i == path[0] else each for i, each in enumerate(value)]


def prepare(made, given) -> None:
    """Let kernels be transformed, as their method does before it makes a job of them."""
    if hasattr(made, "pieces"):
        for piece in range(made.pieces):
            made.prepare(given[-1], piece)
    elif hasattr(made, "prepare"):
        made.prepare()


def odd(array):
    """Return an equal array that begins in the middle of a number."""
    held = np.zeros(array.nbytes + 1, "u1")[1:].view(array.dtype).reshape(array.shape)
    held[...] = array
    return held


@pytest.mark.parametrize("case", CASES)
def test_far_numbers_and_odd_addresses_are_refused_or_change_nothing(case):
    (name, problem), rng, noted = CASES[case], np.random.default_rng(0), Noted()
    x, bias = (rng.standard_normal(shape).astype("f4") for shape in (problem.input_shape, problem.filters))
    kernel, out = np.ones(problem.kernel_shape, "f4"), np.empty(problem.output_shape, "f4")
    for remembered in (KERNELS.clear, direct._native_layout.cache_clear, edges._zeros.cache_clear):
        remembered()
    winograd._axes.cache_clear()
    toom.native_layout.cache_clear()
    with mock.patch.multiple(isa.native(), **{each: noted.maker(getattr(isa.native(), each)) for each in CLASSES}):
        plan = choose(problem, Limits(1, 1 << 33), case.split()[0], kernel=kernel)
        want = execute(plan, x, kernel, bias, out).copy()
    job = noted.objects[-1]
    assert type(job).__name__ == name
    refused = 0
    for path, value in noted.places(job):
        for new in FAR if isinstance(value, int) else (odd(value),):
            out.fill(np.nan)
            try:
                noted.again(job, path, new).work()
            except (ValueError, MemoryError):
                refused += 1
            else:
                np.testing.assert_array_equal(out, want, err_msg=f"{path}: {value} became {new}")
    assert refused > 10


def test_every_kind_of_job_is_among_the_cases():
    jobs = {name for name in CLASSES if hasattr(getattr(isa.native(), name), "work")}
    assert jobs - {"Largest"} == {name for name, _ in CASES.values()}  # which is told of no layout
