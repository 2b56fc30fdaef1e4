"""Spectra of kernels outlive a call: the next one of the same layer transforms none, and gives the same bits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from oracle import oracle
from test_engine_direct import arrays, planar
from tolerances import assert_close

from conv3d_cli.engine import Problem, fft, fft_tiles, isa
from conv3d_cli.engine.kept import Kept

LAYER = Problem((20, 20, 20), (5, 5, 5), padding=((2, 2),) * 3, channels=4, filters=6)
TILE = (12, 12, 12)


@pytest.fixture
def kept(monkeypatch):
    mine = Kept(1 << 24)
    for module in (fft, fft_tiles):
        monkeypatch.setattr(module, "KERNELS", mine)
    return mine


@pytest.fixture
def transformed(kept, monkeypatch):
    """The tiles for which kernels were transformed, one after the other."""
    if isa.native() is None:
        pytest.skip("the kernels are not built")
    seen, whole = [], isa.native().FftSpectra

    def counting(name, tile, *rest):
        seen.append((name, tile))
        return whole(name, tile, *rest)

    monkeypatch.setattr(isa.native(), "FftSpectra", counting)
    return seen


def tiled(problem, x, kernel, threads=2, **more):
    out = planar(problem.output_shape, "float32")
    fft_tiles.run(problem, x, kernel, None, out, **{"tile": TILE, "threads": threads} | more)
    return out


def through_scipy(problem, x, kernel, threads=2, transform="float32"):
    out = planar(problem.output_shape, "float32")
    fft.run(problem, x, kernel, None, out, tile=(24, 24, 24), transform=transform, threads=threads)
    return out


def test_the_next_call_transforms_no_kernel(transformed):
    x, kernel, _ = arrays(LAYER)
    first = tiled(LAYER, x, kernel)
    np.testing.assert_array_equal(tiled(LAYER, x, kernel.copy(), threads=1), first)
    np.testing.assert_array_equal(tiled(LAYER, x, np.asfortranarray(kernel)), first)
    other = replace(LAYER, size=(30, 9, 14), batch=2, strides=(1, 1, 2))
    tiled(other, arrays(other)[0], kernel)
    assert len(transformed) == 1


def test_another_kernel_is_transformed(transformed):
    x, kernel, _ = arrays(LAYER)
    first = tiled(LAYER, x, kernel)
    kernel[1, 2, 3, 0, 5] += 1
    changed = tiled(LAYER, x, kernel)
    assert len(transformed) == 2
    np.testing.assert_array_equal(changed[:, :5], first[:, :5])
    want, magnitude = oracle(x, kernel, padding=LAYER.padding)
    assert_close("fft", "float32", changed, want, magnitude, 501, 12**3)


def test_what_the_spectra_depend_on_makes_others(transformed):
    x, kernel, _ = arrays(LAYER)
    ways = [{"tile": TILE, "isa": name} for name in isa.available()] + [{"tile": (12, 12, 16)}]
    for way in ways:
        tiled(LAYER, x, kernel, **way)
    assert len(transformed) == len(set(transformed)) == len(ways)


def test_groups_make_other_spectra(transformed):
    x, kernel, _ = arrays(LAYER)
    grouped = replace(LAYER, channels=8, groups=2)
    tiled(LAYER, x, kernel)
    x = arrays(grouped)[0]
    got = tiled(grouped, x, kernel)
    want, magnitude = oracle(x, kernel, padding=LAYER.padding, groups=2)
    assert_close("fft", "float32", got, want, magnitude, 501, 12**3)


def test_calls_at_the_same_time_share_them(transformed):
    x, kernel, _ = arrays(LAYER)
    first = tiled(LAYER, x, kernel)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: tiled(LAYER, x, kernel), range(8)):
            np.testing.assert_array_equal(got, first)
    assert len(transformed) == 1


def test_spectra_larger_than_the_room_are_not_kept(kept, transformed):
    kept.room = 1000
    x, kernel, _ = arrays(LAYER)
    np.testing.assert_array_equal(tiled(LAYER, x, kernel), tiled(LAYER, x, kernel))
    assert len(transformed) == 2
    assert kept.bytes == 0


@pytest.mark.parametrize("groups", [1, 2])
def test_those_through_scipy_are_kept_too(kept, monkeypatch, groups):
    seen, compute = [], fft._spectra

    def counting(*given):
        seen.append(given)
        return compute(*given)

    monkeypatch.setattr(fft, "_spectra", counting)
    problem = replace(LAYER, channels=4 * groups, groups=groups)
    x, kernel, _ = arrays(problem)
    first = through_scipy(problem, x, kernel)
    np.testing.assert_array_equal(through_scipy(problem, x, kernel, threads=1), first)
    assert len(seen) == groups
    through_scipy(problem, x, kernel, transform="float64")
    assert len(seen) == 2 * groups
    kernel[0, 0, 0, 0, 0] += 1
    through_scipy(problem, x, kernel)
    assert len(seen) == 2 * groups + 1
    dilated = replace(problem, dilation=(2, 1, 1))
    got = through_scipy(dilated, x, kernel)
    want, magnitude = oracle(x, kernel, padding=problem.padding, dilation=(2, 1, 1), groups=groups)
    assert_close("fft", "float32", got, want, magnitude, 501, 24**3)
