"""What lies around a volume, in sums along the axes: in any cut, as boxes, of several products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle import oracle
from storages import planar
from support import compiled
from test_engine_boundary_methods import TEXTS, arrays, by_sums, check
from tolerances import assert_close

from conv3d_cli.engine import Problem, isa, separable, separable_layout, threads
from conv3d_cli.engine.boundary import Boundary
from conv3d_cli.engine.edges import native_boundary

pytestmark = compiled


def cut_by(tile, count):
    """``by_sums`` with tiles of such a size."""

    def run(problem, x, kernel, out, number, _):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(separable, "layout_of", lambda *a: separable_layout.Layout(tile, 0, 1.0))
            patched.setattr(threads, "INLINE_SECONDS", 0)
            by_sums(problem, x, kernel, out, number, count)

    return run


@pytest.mark.parametrize("text", TEXTS)
def test_sums_do_not_depend_on_the_cut(text):
    """Tiles that lie in the padding alone, too, and those that read the other end of the volume."""
    base = Problem((9, 10, 40), (5, 7, 9), padding=((11, 4), (3, 12), (26, 19)), boundary=Boundary.parse(text))
    for number, more in enumerate(({}, {"strides": (2, 1, 3)}, {"dilation": (1, 2, 2)}, {"channels": 2, "filters": 2})):
        problem = replace(base, **more)
        whole = check("separable", problem, number)
        for tile in ((1, 1, 1), (4, 3, 7), (3, 50, 16), (50, 5, 8)):
            some = check("separable", problem, number, run=cut_by(tile, 2))
            np.testing.assert_array_equal(some, whole)


@pytest.mark.parametrize("text", TEXTS)
def test_sums_of_boxes(text):
    for number, long in enumerate(((17, 3, 5), (3, 18, 5), (3, 5, 23), (16, 17, 18))):
        padding = tuple((n - 2, n // 2) for n in long)
        problem = Problem((7, 8, 21), long, padding=padding, channels=2, boundary=Boundary.parse(text))
        problem = replace(problem, dilation=(1, 1, 1 + number % 2))
        x, _ = arrays(problem)
        kernel = np.ones(problem.kernel_shape, "f4") * [[2], [0.5]]
        want, magnitude = oracle(x, kernel, None, padding=padding, dilation=problem.dilation, boundary=text)
        outs = []
        for tile in (None, (8, 8, 5)):
            out = planar(problem.output_shape, "f4")
            run = by_sums if tile is None else cut_by(tile, 2)
            run(problem, x, kernel.astype("f4"), out, 0, 1)
            assert_close("separable", "f4", out, want, magnitude, problem.taps * 2)
            outs.append(out)
        np.testing.assert_array_equal(*outs)


@pytest.mark.parametrize("text", TEXTS)
def test_sums_of_several_products(text):
    """A constant around is what each term makes of it."""
    problem = Problem((8, 9, 20), (3, 5, 7), padding=((1, 1), (2, 2), (3, 3)), boundary=Boundary.parse(text))
    rng = np.random.default_rng(0)
    lines = [rng.standard_normal((2, n)) + 1 for n in problem.kernel]
    kernel = np.einsum("ti,tj,tk->ijk", *lines).astype("f4")[..., None, None]
    x, _ = arrays(problem)
    out = planar(problem.output_shape, "f4")
    by_sums(problem, x, kernel, out, 0, 1)
    want, _ = oracle(x, kernel, padding=problem.padding, boundary=text)
    assert np.abs(out - want).max() < 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("text", TEXTS[:5])
def test_sums_carry_a_nan_to_the_windows_that_hold_it(text):
    problem = Problem((8, 9, 20), (3, 5, 7), padding=((1, 1), (2, 2), (3, 3)), boundary=Boundary.parse(text))
    x, kernel = arrays(problem)
    for place in ((0, 0, 0), (7, 8, 19), (3, 0, 10)):
        broken = x.copy()
        broken[(0, 0, *place)] = np.nan
        out = planar(problem.output_shape, "f4")
        by_sums(problem, broken, kernel, out, 0, 1)
        want, _ = oracle(broken, kernel, padding=problem.padding, boundary=text)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(want))
        assert 0 < np.isnan(want).sum() < want.size


@pytest.mark.parametrize("text", TEXTS)
def test_sums_take_the_memory_that_is_planned(text):
    for size, padding in (((9, 10, 300), ((2, 2),) * 3), ((9, 10, 100), ((2, 2), (2, 2), (150, 90)))):
        problem = Problem(size, (5, 5, 5), padding=padding, boundary=Boundary.parse(text))
        x, out = planar(problem.input_shape, "f4"), planar(problem.output_shape, "f4")
        lines = [np.ones((1, 1, 5), "f4")] * 3
        tiles = list(separable_layout._tiles(problem, isa.active()))
        scratch, _ = separable_layout._predicted(problem, np.array(tiles, float), 1, 2, isa.active(), (False,) * 3)
        for tile, planned in zip(tiles, scratch, strict=True):
            job = isa.native().Separable(
                isa.active(), x, lines, [0], native_boundary(problem), None, out, groups=1, strides=(1, 1, 1),
                dilation=(1, 1, 1), before=tuple(p[0] for p in padding), box=(False,) * 3, tile=tile, stream=False,
            )  # fmt: skip
            assert 0.4 * planned < job.scratch <= planned, tile
