"""What the direct method leaves out or sums first, by its kernel's values: nobody can tell but by the time it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fuzz_problems import KERNELS
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle
from storages import STORAGE
from support import compiled
from test_engine_direct import DTYPES, ISAS, arrays, check, convolve, problems

from conv3d_cli.engine import Limits, choose, direct, isa, settle
from conv3d_cli.engine.direct_layout import layout_of
from conv3d_cli.engine.direct_slab import axis_of
from conv3d_cli.engine.problem import Problem

pytestmark = compiled

PLAIN = Problem((19, 21, 40), (5, 5, 5), padding=((2, 2),) * 3)


def random(shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f4")


def cross(shape):
    return KERNELS["cross"](np.random.default_rng(0), shape).astype("f4")


def ball(radius, shape=()):
    away = sum(axis**2 for axis in np.ogrid[tuple(slice(-radius, radius + 1) for _ in range(3))])
    return np.broadcast_to((away <= radius**2).astype("f4")[(..., *(None,) * len(shape))], away.shape + shape)


def radial(n, shape=()):
    """Return a kernel that is the same along every axis and in both directions, but no outer product."""
    away = np.sqrt(sum((axis - n // 2) ** 2 for axis in np.ogrid[:n, :n, :n]))
    values = np.cos(2 * away) * np.exp(-away / 3)
    return np.broadcast_to(values[(..., *(None,) * len(shape))], away.shape + shape).astype("f4")


def holes(rng, shape):
    """Return weights in runs of any length, between zeros."""
    return rng.standard_normal(shape) * (rng.random((*shape[:3], 1, 1)) < 0.5)


def few_values(rng, shape):
    return rng.choice([0.0, 0.0, 1.0, -2.0], size=shape[:3])[..., None, None] * np.ones(shape[3:])


KINDS = {
    "holes": holes,
    "few values": few_values,
    "zeros": lambda rng, shape: np.zeros(shape),
    **{name: KERNELS[name] for name in ("sparse", "one tap", "cross", "symmetric", "box")},
}


@settings(max_examples=250, deadline=None, derandomize=True)
@given(problems(), st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(STORAGE)), st.integers(0, 9))
def test_kernels_of_few_values_agree_with_the_oracle(problem, kind, target, seed):
    x, _, bias = arrays(problem, seed=seed)
    kernel = np.ascontiguousarray(KINDS[kind](np.random.default_rng(seed), problem.kernel_shape), problem.dtype)
    check(problem, x, kernel, bias, storage=STORAGE[target])


LONG = {
    "a ball": (PLAIN, ball(2)),
    "a wide ball": (replace(PLAIN, kernel=(9, 9, 9)), ball(4)),
    "a ball for several filters": (replace(PLAIN, filters=7), ball(2, (1, 7))),
    "a kernel with zeros between its taps": (
        PLAIN, np.kron(random((3, 3, 3)), np.eye(1, 8).reshape(2, 2, 2))[:5, :5, :5],
    ),
    "a radial kernel": (replace(PLAIN, kernel=(7, 7, 7)), radial(7)),
    "radial kernels of several channels": (replace(PLAIN, channels=3, filters=6), radial(5, (3, 6))),
    "groups, of which some leave out": (
        replace(PLAIN, channels=3, filters=3, groups=3),
        np.concatenate([ball(2, (1, 1)), random((5, 5, 5, 1, 1)), radial(5, (1, 1))], 4),
    ),
    "channels in several chunks": (
        Problem((5, 5, 20), (3, 3, 3), channels=700, filters=3), cross((3, 3, 3, 700, 3)),
    ),
}  # fmt: skip


def long_case(name, dtype="float32", seed=0):
    problem, kernel = LONG[name]
    problem = replace(problem, dtype=dtype)
    x, _, bias = arrays(problem, seed=seed)
    return problem, x, np.ascontiguousarray(kernel.reshape(problem.kernel_shape), dtype), bias


def cut_otherwise(monkeypatch, planes, rows):
    """Make blocks of other sizes."""

    def layout(problem, *rest):
        chosen = layout_of(problem, *rest)
        axes = [axis_of(problem, i, min(n, problem.output_size[i])) for i, n in enumerate((planes, rows))]
        slab = chosen.slab[0]
        depth, height = (axis.extent for axis in axes)
        out = chosen.out[0]
        return replace(
            chosen,
            axes=(*axes, chosen.axes[2]),
            slab=(slab, slab * height, slab * height * depth),
            out=(out, out * rows, out * rows * planes),
        )

    monkeypatch.setattr(direct, "layout_of", layout)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LONG)
def test_long_lists_of_taps_agree_with_the_oracle(name, dtype):
    problem, x, kernel, bias = long_case(name, dtype)
    layout = layout_of(problem, 1, ISAS[0])
    found = isa.native().cost_share(ISAS[0], kernel, problem.groups, layout.channel_chunk, layout.columns)
    assert found < 0.9, "the case is about kernels that cost less"
    check(problem, x, kernel, bias)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", LONG)
def test_a_value_that_is_not_finite_reaches_its_windows_and_changes_no_other_bit(name, value, monkeypatch):
    problem, x, kernel, bias = long_case(name)
    bias[0] = -0.0
    at = (0, -1, 4, 3, 17)
    clean = x.copy()
    clean[at] = 0
    x[at] = value
    with np.errstate(invalid="ignore"):
        want, _ = oracle(x, kernel, bias, padding=problem.padding, groups=problem.groups)
    for instructions in ISAS:
        outs = []
        for cut in (None, (3, 4), (1, 9)):
            with monkeypatch.context() as patch:
                if cut:
                    cut_otherwise(patch, *cut)
                outs.append(convolve(problem, x, kernel, bias, name=instructions, threads=2))
            np.testing.assert_array_equal(outs[-1][~np.isfinite(want)], want[~np.isfinite(want)])
        plain = convolve(problem, clean, kernel, bias, name=instructions)
        bits = plain.view(np.int32)[np.isfinite(want)]
        for out in outs:
            np.testing.assert_array_equal(out.view(np.int32)[np.isfinite(want)], bits)


def test_zeros_keep_their_signs_beside_a_value_that_is_not_finite():
    problem = replace(PLAIN, filters=2)
    x, kernel = np.full(problem.input_shape, -0.0, "f4"), np.ascontiguousarray(ball(2, (1, 2)))
    x[0, 0, 9, 9, 9] = np.nan
    for name in ISAS:
        out = convolve(problem, x, kernel, np.full(2, -0.0, "f4"), name=name)[..., 2:-2, 2:-2, 2:-2]
        assert np.isnan(out).sum() == 2 * 5**3
        assert np.signbit(out[~np.isnan(out)]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["a ball", "a radial kernel", "a ball for several filters"])
def test_sums_of_values_that_would_overflow_are_products_after_all(name, dtype, monkeypatch):
    problem, x, kernel, bias = long_case(name, dtype)
    plain = {name: convolve(problem, x, kernel / 512, bias, name=name) for name in ISAS}
    kernel, largest = kernel / 512, np.finfo(dtype).max
    x[0, 0, 8, 8:13, 10:25] = largest * 0.9
    x[0, 0, 12, 8:13, 10:25] = -largest * 0.7
    with np.errstate(over="ignore"):
        scaled, _ = oracle(x / largest, kernel, bias / largest, padding=problem.padding)
    for instructions in ISAS:
        outs = []
        for cut in (None, (3, 4), (1, 9)):
            with monkeypatch.context() as patch:
                if cut:
                    cut_otherwise(patch, *cut)
                outs.append(convolve(problem, x, kernel, bias, name=instructions))
        assert np.isfinite(outs[0]).all()
        np.testing.assert_allclose(outs[0].astype(float) / largest, scaled, rtol=0, atol=1e-6)
        for out in outs[1:]:
            np.testing.assert_array_equal(out, outs[0])
        np.testing.assert_array_equal(outs[0][..., 17:, :, :], plain[instructions][..., 17:, :, :])
    x[0, 0, 8, 8, 10], x[0, 0, 12, 8, 10] = np.inf, -np.inf
    for instructions in ISAS:
        out = convolve(problem, x, kernel, bias, name=instructions)
        with np.errstate(invalid="ignore"):
            np.testing.assert_equal(
                out[0, 0, 10, 8, 10], np.inf * kernel[0, 2, 2, 0, 0] - np.inf * kernel[4, 2, 2, 0, 0]
            )
        assert out[0, 0, 6, 8, 10] == np.inf * kernel[4, 2, 2, 0, 0]


SHARES = {
    "random taps": (random((5, 5, 5)), 1, 1),
    "a tenth of zeros": (random((5, 5, 5)) * (np.arange(125) % 10 > 0).reshape((5,) * 3), 1, 1),
    "no tap at all": (np.zeros((5, 5, 5)), 1, 1),
    "a ball": (ball(3), 0.2, 0.36),
    "a cross": (cross((7, 7, 7, 1, 1))[..., 0, 0], 0.05, 0.15),
    "a radial kernel": (radial(7), 0.5, 0.75),
    "a small radial kernel": (radial(3), 0.75, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_what_a_kernel_costs(name):
    kernel, least, most = SHARES[name]
    found = isa.native().cost_share("generic", np.ascontiguousarray(kernel[..., None, None], "f4"), 1, 1, True)
    assert least <= found <= most


def test_lists_of_taps_have_a_limit():
    share = isa.native().cost_share
    kernel = np.zeros((16, 16, 16, 300, 1), "f4")
    kernel[0] = 1
    assert share("generic", kernel[..., :200, :], 1, 200, True) < 0.2
    assert share("generic", kernel, 1, 300, True) == 1


@pytest.mark.parametrize(
    "change", [{"kernel": np.zeros((3, 3, 3, 1), "f4")}, {"groups": 0}, {"groups": 2}, {"channel_chunk": 0}]
)
def test_the_cost_of_what_is_no_kernel_is_refused(change):
    given_ = {"kernel": np.zeros((3, 3, 3, 1, 1), "f4"), "groups": 1, "channel_chunk": 1, "columns": True}
    with pytest.raises(ValueError, match="whole groups and chunks"):
        isa.native().cost_share("generic", **given_ | change)


def test_the_planner_takes_direct_where_the_kernel_makes_it_fast():
    problem = Problem((128, 128, 128), (9, 9, 9), padding=((4, 4),) * 3)
    limits, x = Limits(2, 1 << 32), np.zeros((1, 1, 128, 128, 128), "f4")
    sparse = cross((9, 9, 9, 1, 1))
    full = random(problem.kernel_shape)
    blind = choose(problem, limits)
    assert blind.method == "fft"
    for plan in (choose(problem, limits, kernel=sparse), settle(blind, x, sparse)):
        assert plan.method == "direct"
        assert plan.candidate.portion < 0.2
        assert plan.seconds < blind.seconds
    for plan in (choose(problem, limits, kernel=full), settle(blind, x, full)):
        assert (plan.method, plan.candidate.tile) == (blind.method, blind.candidate.tile)
    assert direct.offers(problem, sparse, 2, None, 0)[0].scratch_bytes > direct.scratch_bytes(problem, 2, 0.1)


def test_a_kernel_of_one_voxel_or_a_small_volume_is_not_looked_at():
    for problem in (Problem((128,) * 3, (1, 1, 1)), Problem((16,) * 3, (7, 7, 7))):
        assert direct.candidates(problem, 1, None, 0)[0].at_best is None
