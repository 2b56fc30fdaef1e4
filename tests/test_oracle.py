"""The oracle against the definition written as loops, and the tolerances against errors that they must see."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import oracle, oracle_layer, same_pads
from tolerances import TOLERANCES, allowed, assert_close, worst_ratio

from conv3d_cli.engine import METHODS


def by_loops(x, kernel, bias, strides, padding, dilation, groups):
    """Return the sum of the definition, one product after the other."""
    taps, (per_group, filters) = kernel.shape[:3], kernel.shape[3:]
    size = [
        (n + before + after - (k - 1) * d - 1) // s + 1
        for n, k, s, d, (before, after) in zip(x.shape[2:], taps, strides, dilation, padding, strict=True)
    ]
    y = np.zeros((x.shape[0], filters, *size))
    for n, f, *at in itertools.product(*(range(m) for m in y.shape)):
        total = bias[f]
        first = f // (filters // groups) * per_group
        for c, *tap in itertools.product(range(per_group), *(range(k) for k in taps)):
            where = [o * s - p[0] + t * d for o, s, p, t, d in zip(at, strides, padding, tap, dilation, strict=True)]
            if all(0 <= w < m for w, m in zip(where, x.shape[2:], strict=True)):
                total += x[(n, first + c, *where)] * kernel[(*tap, c, f)]
        y[(n, f, *at)] = total
    return y


@pytest.mark.parametrize(
    ("strides", "padding", "dilation", "groups"),
    [
        ((1, 1, 1), ((0, 0), (0, 0), (0, 0)), (1, 1, 1), 1),
        ((2, 1, 3), ((0, 1), (2, 0), (1, 1)), (1, 1, 1), 2),
        ((1, 1, 1), ((1, 2), (0, 0), (3, 0)), (2, 1, 3), 1),
        ((2, 2, 1), ((1, 1), (1, 0), (0, 2)), (1, 2, 2), 2),
    ],
)
def test_oracle_is_the_definition(strides, padding, dilation, groups):
    state = np.random.RandomState(0)
    x = state.standard_normal((2, 4, 5, 4, 6))
    kernel, bias = state.standard_normal((2, 1, 2, 4 // groups, 6)), state.standard_normal(6)
    y, magnitude = oracle(x, kernel, bias, strides, padding, dilation, groups)
    np.testing.assert_allclose(y, by_loops(x, kernel, bias, strides, padding, dilation, groups), rtol=0, atol=1e-13)
    absolute = by_loops(abs(x), abs(kernel), abs(bias), strides, padding, dilation, groups)
    np.testing.assert_allclose(magnitude, absolute, rtol=1e-13)


def test_layer_oracle_moves_channels_and_batch():
    state = np.random.RandomState(1)
    x, kernel = state.standard_normal((2, 3, 4, 5, 6, 2)), state.standard_normal((2, 3, 1, 2, 3))
    y, _ = oracle_layer(x, kernel, padding="same")
    assert y.shape == (2, 3, 4, 5, 6, 3)
    first, _ = oracle_layer(np.moveaxis(x, -1, 2), kernel, padding="same", data_format="channels_first")
    np.testing.assert_array_equal(np.moveaxis(first, 2, -1), y)
    planar, _ = oracle(np.moveaxis(x[1, 2:], -1, 1), kernel, padding=same_pads((4, 5, 6), (2, 3, 1)))
    np.testing.assert_array_equal(np.moveaxis(planar[0], 0, -1), y[1, 2])


def test_kernel_larger_than_the_input_has_no_output():
    assert oracle(np.ones((1, 1, 2, 5, 5)), np.ones((3, 3, 3, 1, 1)))[0].shape == (1, 1, 0, 3, 3)


def rounded(dtype):
    state = np.random.RandomState(2)
    x, kernel = (
        state.standard_normal((1, 3, 8, 8, 8)).astype(dtype),
        state.standard_normal((3, 3, 3, 3, 2)).astype(dtype),
    )
    want, magnitude = oracle(x, kernel)
    return x, kernel, want, magnitude


@pytest.mark.parametrize(("method", "dtype"), TOLERANCES)
def test_tolerances_see_what_is_wrong(method, dtype):
    x, kernel, want, magnitude = rounded(dtype)
    terms = kernel[..., 0].size
    right = want.astype(dtype)
    assert_close(method, dtype, right, want, magnitude, terms)
    assert worst_ratio(method, dtype, right, want, magnitude, terms) < 0.25

    changed = kernel.astype(np.float64)
    changed[1, 1, 1, 1, 1] *= 1.001
    for wrong in (
        oracle(x, changed)[0],
        oracle(x, kernel[::-1])[0],
        np.roll(want, 1, axis=4),
        want * (1 + 1e-4),
    ):
        with pytest.raises(AssertionError, match="voxels beyond the tolerance; worst at"):
            assert_close(method, dtype, wrong.astype(dtype), want, magnitude, terms)
    for value in (np.nan, np.inf):
        spoilt = right.copy()
        spoilt[0, 1, 2, 3, 4] = value
        with pytest.raises(AssertionError, match=r"1 of 432 voxels beyond the tolerance; worst at \(0, 1, 2, 3, 4\)"):
            assert_close(method, dtype, spoilt, want, magnitude, terms)
        spread = want.copy()
        spread[0, 1, 2, 3, 4] = value
        with pytest.raises(AssertionError, match="non-finite values"):
            assert_close(method, dtype, right, spread, magnitude, terms)
        assert_close(method, dtype, spread.astype(dtype), spread, magnitude, terms)
    with pytest.raises(AssertionError, match="dtype"):
        assert_close(method, dtype, right.astype("float16"), want, magnitude, terms)
    with pytest.raises(AssertionError, match="shape"):
        assert_close(method, dtype, right[..., 1:], want, magnitude, terms)


def test_local_tolerances_see_an_error_beside_a_bright_voxel():
    x, kernel, *_ = rounded("float32")
    x[0, 0, 0, 0, 0] = 1e6
    want, magnitude = oracle(x, kernel)
    wrong = want.astype(np.float32)
    wrong[0, 0, 5, 5, 5] += 1e-3
    with pytest.raises(AssertionError, match="1 of 432"):
        assert_close("direct", "float32", wrong, want, magnitude, 81)
    assert (allowed("fft", "float32", magnitude, 81) > 1e-3).all()


def test_every_method_has_its_tolerances():
    assert {method for method, _ in TOLERANCES} == set(METHODS)
    assert all(row.reason for row in TOLERANCES.values())
