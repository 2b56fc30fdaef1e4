"""NaN, infinities and bright voxels reach as far as the kernel does, or one tile, and no farther."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle import oracle
from tolerances import assert_close
from ways import USABLE

from conv3d_cli.engine import Limits, Problem, choose, execute, fft, settle
from conv3d_cli.errors import MethodError

ROOM = Limits(threads=2, memory=1 << 33)
LOCAL = [m for m in USABLE if m != "fft"]


def cube(n: int, k: int, **more) -> Problem:
    return Problem(size=(n,) * 3, kernel=(k,) * 3, padding=((k // 2, k // 2),) * 3, **more)


def filled(problem: Problem, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(problem.dtype) for shape in (problem.input_shape, problem.kernel_shape)]


@pytest.mark.parametrize("method", LOCAL)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_voxel_reaches_exactly_its_neighbourhood(method, value):
    problem = cube(16, 5, channels=2, filters=3)
    x, kernel = filled(problem)
    kernel[0, 0, 0] = 0  # 0 * NaN is NaN: a tap of weight 0 carries it too
    x[0, 1, 7, 8, 9] = value
    y = execute(choose(problem, ROOM, method), x, kernel, None)
    reached = np.zeros(problem.output_shape, bool)
    reached[:, :, 5:10, 6:11, 7:12] = True
    np.testing.assert_array_equal(~np.isfinite(y), reached)


def test_with_non_finite_voxels_another_method_than_the_fft_is_taken():
    problem = cube(48, 21)
    x, kernel = filled(problem)
    x[0, 0, 3, 4, 5] = np.nan
    plan = choose(problem, ROOM)
    assert plan.method == "fft"
    settled = settle(plan, x, kernel)
    assert settled.method in LOCAL
    assert settled.why.startswith(
        "1 non-finite values in the input, the first at index (0, 0, 3, 4, 5), which fft would"
    )
    y = execute(plan, x, kernel, None)
    assert np.count_nonzero(np.isnan(y)) == 14 * 15 * 16


def test_a_forced_fft_refuses_non_finite_voxels():
    problem = cube(16, 3)
    x, kernel = filled(problem)
    x[0, 0, 1, 2, 3] = np.inf
    with pytest.raises(
        MethodError,
        match=r"method 'fft': .* got 1 non-finite values in the input, the first at index \(0, 0, 1, 2, 3\)",
    ):
        execute(choose(problem, ROOM, "fft"), x, kernel, None)
    x[0, 0, 1, 2, 3] = 0
    kernel[1, 1, 1, 0, 0] = np.nan
    with pytest.raises(MethodError, match="1 non-finite values in the kernel"):
        execute(choose(problem, ROOM, "fft"), x, kernel, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", [*LOCAL, "fft"])
def test_a_bright_voxel_disturbs_nothing_beyond_one_tile(method, dtype):
    problem = cube(80, 9, dtype=dtype)
    x, kernel = filled(problem)
    plan = choose(problem, ROOM, method)
    ways = [c for c in plan.candidates if c.refused is None]
    plan = replace(plan, candidate=min(ways, key=lambda c: c.tile or ()))  # one tile may serve all of this volume
    want, magnitude = oracle(x, kernel, None, padding=problem.padding)
    x[0, 0, 2, 2, 2] = 1e6
    y = execute(plan, x, kernel, None)
    reach = max(plan.candidate.tile or problem.kernel)
    assert reach < 60
    far = (slice(None), slice(None), *(slice(2 + reach, None),) * 3)
    assert_close(method, dtype, y[far], want[far], magnitude[far], problem.taps)


def test_a_bright_voxel_disturbs_nothing_at_all_where_accuracy_is_strict():
    problem = cube(40, 9)
    x, kernel = filled(problem)
    want, magnitude = oracle(x, kernel, None, padding=problem.padding)
    x[0, 0, 2, 2, 2] = 1e6
    y = execute(choose(problem, ROOM, "fft", "strict"), x, kernel, None)
    outside = np.ones(want.shape, bool)
    outside[:, :, :7, :7, :7] = False
    assert_close("direct", "float32", y[outside], want[outside], magnitude[outside], problem.taps)


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [-np.inf, np.nan]])
def test_every_kind_of_non_finite_value_is_found(values):
    problem = cube(16, 3)
    x, kernel = filled(problem)
    x[0, 0, 5, 6, 7 : 7 + len(values)] = values
    with pytest.raises(MethodError, match=rf"got {len(values)} non-finite values in the input, .* \(0, 0, 5, 6, 7\)"):
        execute(choose(problem, ROOM, "fft"), x, kernel, None)


@pytest.mark.parametrize(
    ("level", "gain"),
    [(1e36, 1.0), (-1e36, 1.0), (1e36, -1.0), (1e31, 1e5), (1e-36, 1e-3)],
    ids=str,
)
@pytest.mark.parametrize("length", [24, 48])
def test_values_that_only_a_transform_would_overflow_are_summed(level, gain, length):
    """The sum over one window is far from overflow, the sum over a tile or over a product of spectra is not."""
    problem = cube(32, 9)
    x, kernel = (np.full(shape, 1, "f4") for shape in (problem.input_shape, problem.kernel_shape))
    x, kernel = x * np.float32(level), kernel * np.float32(gain / problem.taps)
    y, tile = np.empty(problem.output_shape, "f4"), (length,) * 3
    fft.run(problem, x, kernel, None, y, tile=tile, transform="float32", threads=1)
    np.testing.assert_allclose(y[0, 0, 4:-4, 4:-4, 4:-4], level * gain, rtol=1e-5)


@pytest.mark.parametrize("method", [*LOCAL, "fft"])
def test_a_sum_beyond_the_largest_number_is_infinite(method):
    problem = cube(24, 5)
    x, kernel = np.full(problem.input_shape, 1e38, "f4"), np.full(problem.kernel_shape, 1, "f4")
    y = execute(choose(problem, ROOM, method), x, kernel, None)
    assert y[0, 0, 12, 12, 12] == np.inf


def test_a_whole_volume_that_would_overflow_takes_another_way():
    """Every value and every sum is finite, but not the sum of the volume, which a transform holds."""
    problem = cube(32, 21, dtype="float64")
    plan = choose(problem, ROOM)
    assert plan.method == "fft"
    x, kernel = np.full(problem.input_shape, 1e304), np.random.default_rng(0).random(problem.kernel_shape)
    kernel /= kernel.sum()
    assert settle(plan, x, kernel).method in LOCAL
    assert settle(plan, -x, kernel).method in LOCAL
    assert settle(plan, x * 1e-6, kernel).method == "fft"


@pytest.mark.parametrize("scale", [1e35, 1e-35])
def test_huge_and_tiny_values_survive_a_transform(scale):
    problem = cube(32, 9)
    x, kernel = filled(problem)
    kernel /= 1000
    want, magnitude = oracle(x * np.float32(scale), kernel, None, padding=problem.padding)
    y = execute(choose(problem, ROOM, "fft"), x * np.float32(scale), kernel, None)
    assert_close("fft", "float32", y, want, magnitude, problem.taps)


def test_values_too_large_for_any_transform_take_another_way():
    problem = cube(32, 9, dtype="float64")
    x, kernel = filled(problem)
    x *= 1e305
    assert settle(choose(problem, ROOM), x, kernel).method in LOCAL
    with pytest.raises(MethodError, match="values so large that a transform may overflow"):
        execute(choose(problem, ROOM, "fft"), x, kernel, None)


def test_values_too_large_for_compiled_tiles_that_are_shorter_than_the_kernel():
    """Where all beyond a tile is padding it may be shorter than the kernel; a tile of SciPy's transforms may not."""
    problem = Problem((4, 4, 4), (8, 7, 9), padding=((4, 4),) * 3)
    x, kernel = filled(problem)
    x *= np.float32(1e35)
    want, magnitude = oracle(x, kernel, padding=problem.padding)
    out = np.empty(problem.output_shape, "f4")
    fft.run(problem, x, kernel, None, out, tile=(5, 4, 4), transform="float32", native=True, long=True, threads=1)
    assert_close("fft", "float32", out, want, magnitude, 1, 8192)
