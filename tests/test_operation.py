"""``convolve``: what its arguments mean, what it gives, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import oracle, same_pads
from tolerances import assert_close

from conv3d_cli import convolve
from conv3d_cli.engine import isa
from conv3d_cli.errors import LayerError, MethodError, OverLimit, ShapeError, UsageError

triples = st.one_of(st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3))
pairs = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def in_full(value):
    return (value,) * 3 if isinstance(value, int) else value


@st.composite
def calls(draw):
    """Draw an input with its kernel and bias, and arguments that go together."""
    groups, channels_first = draw(st.integers(1, 3)), draw(st.booleans())
    per_group, filters = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    taps, strides, dilation = draw(st.tuples(*[st.integers(1, 3)] * 3)), draw(triples), draw(triples)
    reach = [(k - 1) * d + 1 for k, d in zip(taps, in_full(dilation), strict=True)]
    size = [draw(st.integers(r, r + 4)) for r in reach]
    batch = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    channels = groups * per_group
    x = random(*batch, *([channels, *size] if channels_first else [*size, channels]))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    return (
        x.astype(dtype),
        random(*taps, per_group, filters, seed=1).astype(dtype),
        draw(st.sampled_from([None, random(filters, seed=2).astype(dtype)])),
        {
            "strides": strides,
            "dilation_rate": dilation,
            "groups": groups,
            "padding": draw(st.one_of(st.sampled_from(["valid", "same", "SAME"]), pairs)),
            "data_format": "channels_first" if channels_first else "channels_last",
        },
    )


def by_the_oracle(x, kernel, bias, *, strides, dilation_rate, groups, padding, data_format):
    """Return the exact output and its magnitude, in the layout of ``x``."""
    strides, dilation = in_full(strides), in_full(dilation_rate)
    planar = x.reshape(-1, *x.shape[-4:])
    planar = planar if data_format == "channels_first" else np.moveaxis(planar, -1, 1)
    if isinstance(padding, str):
        same = same_pads(planar.shape[2:], kernel.shape[:3], strides, dilation)
        padding = same if padding.lower() == "same" else ((0, 0),) * 3
    both = oracle(planar, kernel, bias, strides, padding, dilation, groups)
    if data_format == "channels_last":
        both = tuple(np.moveaxis(array, 1, -1) for array in both)
    return tuple(array.reshape(*x.shape[:-4], *array.shape[1:]) for array in both)


@settings(max_examples=150, deadline=None)
@given(calls())
def test_every_argument_means_what_the_oracle_makes_of_it(call):
    x, kernel, bias, arguments = call
    before = x.copy()
    y = convolve(x, kernel, bias, **arguments)
    want, magnitude = by_the_oracle(x, kernel, bias, **arguments)
    assert_close("direct" if isa.native() else "fft", x.dtype, y, want, magnitude, kernel[..., 0].size)
    assert y.flags.c_contiguous
    assert not np.shares_memory(y, x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("method", ["fft", "reference"])
def test_the_method_is_followed(method):
    x, kernel, bias = random(2, 9, 8, 7, 4), random(3, 2, 3, 2, 6, seed=1), random(6, seed=2)
    arguments = {"groups": 2, "strides": (1, 2, 1), "dilation_rate": 2, "data_format": "channels_last"}
    want, magnitude = by_the_oracle(x, kernel, bias, padding="same", **arguments)
    y = convolve(x, kernel, bias, padding="same", method=method, **arguments)
    assert_close(method, "float64", y, want, magnitude, kernel[..., 0].size)
    x[0, 0, 0, 0, 0] = np.nan
    if method == "fft":
        with pytest.raises(MethodError, match="method 'fft'"):
            convolve(x, kernel, method=method, **arguments)


def test_defaults_are_those_of_keras():
    x, kernel = random(1, 5, 6, 7, 2), random(3, 2, 1, 2, 3, seed=1)
    np.testing.assert_array_equal(
        convolve(x, kernel),
        convolve(x, kernel, None, strides=1, padding="valid", dilation_rate=1, groups=1, data_format="channels_last"),
    )
    assert convolve(x, kernel).shape == (1, 3, 5, 7, 3)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("int16", "float32"),
        ("int64", "float32"),
        ("bool", "float32"),
        (">f4", "float32"),
    ],
)
@pytest.mark.parametrize("other", ["float32", "float64", "int8"])
def test_the_result_has_the_precision_of_the_input(given, made, other):
    x, kernel, bias = 4 * random(1, 4, 5, 6, 2), 4 * random(2, 2, 2, 2, 3, seed=1), 4 * random(3, seed=2)
    x, kernel, bias = x.astype(given), kernel.astype(other), bias.astype(other)
    y = convolve(x, kernel, bias)
    want, magnitude = by_the_oracle(
        x.astype(made),
        kernel.astype(made),
        bias.astype(made),
        strides=1,
        dilation_rate=1,
        groups=1,
        padding="valid",
        data_format="channels_last",
    )
    assert y.dtype.isnative
    assert_close("direct", made, y, want, magnitude, 16)


def test_lists_and_views_are_taken_as_arrays():
    x, kernel = random(2, 5, 6, 7, 2), random(2, 3, 2, 2, 3, seed=1)
    y = convolve(x, kernel, [1, 2, 3])
    np.testing.assert_allclose(convolve(x.tolist(), kernel.tolist(), (1, 2, 3)), y, rtol=1e-12)
    spread = np.zeros((4, 10, 6, 7, 4))[::2, ::-2, :, :, ::2]
    spread[...] = x
    np.testing.assert_allclose(convolve(spread, np.asfortranarray(kernel), np.array([1.0, 2, 3])), y, rtol=1e-12)


def test_an_empty_batch_gives_an_empty_output():
    assert convolve(np.ones((2, 0, 4, 5, 6, 1), "f4"), np.ones((3, 3, 3, 1, 2))).shape == (2, 0, 2, 3, 4, 2)


X, KERNEL = np.ones((1, 4, 4, 4, 2), "f4"), np.ones((2, 2, 2, 2, 4), "f4")

REFUSED = [
    ({"x": X[0]}, ShapeError, "x", "x: too few dimensions: got 4 in (4, 4, 4, 2), expected at least 5"),
    ({"x": X + 1j}, LayerError, None, "x: not real numbers: got complex64"),
    ({"x": [[1], [2, 3]]}, LayerError, None, "x: not an array"),
    ({"kernel": KERNEL[0]}, ShapeError, "kernel", "kernel: wrong shape: got (2, 2, 2, 4), expected (kd, kh, kw"),
    ({"kernel": KERNEL[None]}, ShapeError, "kernel", "kernel: wrong shape: got (1, 2, 2, 2, 2, 4)"),
    ({"kernel": KERNEL[:, :0]}, ShapeError, "kernel", "kernel: wrong shape: got (2, 0, 2, 2, 4)"),
    ({"kernel": KERNEL[..., :0]}, ShapeError, "kernel", "kernel: wrong shape"),
    ({"kernel": KERNEL.astype(str)}, LayerError, None, "kernel: not real numbers: got <U"),
    ({"kernel": KERNEL[:, :, :, :1]}, ShapeError, "kernel", "got 1 channels in (2, 2, 2, 1, 4) with 1 groups"),
    ({"groups": 2}, ShapeError, "kernel", "got 2 channels in (2, 2, 2, 2, 4) with 2 groups, expected 2 channels"),
    ({"x": X[..., [0, 1, 0]], "groups": 2, "kernel": KERNEL[:, :, :, :1]}, ShapeError, "kernel", "does not fit"),
    (
        {"groups": 2, "kernel": KERNEL[:, :, :, :1, :3]},
        ShapeError,
        "groups",
        "groups: do not divide the filters: got 2 groups for 3 filters",
    ),
    ({"groups": 0}, LayerError, "groups", "groups: below 1: got 0"),
    ({"groups": True}, LayerError, "groups", "groups: not a whole number: got True"),
    ({"groups": 1.0}, LayerError, "groups", "groups: not a whole number: got 1.0"),
    ({"strides": 0}, LayerError, "strides", "strides: below 1: got 0"),
    ({"strides": (1, 2)}, LayerError, "strides", "strides: has 2 values: got (1, 2)"),
    ({"dilation_rate": -1}, LayerError, "dilation_rate", "dilation_rate: below 1: got -1"),
    ({"strides": 2**62}, LayerError, "strides", "strides: above 2147483647: got 4611686018427387904, expected a whole"),
    ({"dilation_rate": 2**62}, LayerError, "dilation_rate", "dilation_rate: above 2147483647: got 4611686018427387904"),
    ({"dilation_rate": 2**31 - 1}, LayerError, "dilation_rate", "dilation_rate: spreads the kernel too far"),
    ({"padding": [(0, 2**31)] * 3}, LayerError, "padding", "pairs of whole numbers from 0 to 2147483647"),
    ({"data_format": "NCDHW"}, LayerError, "data_format", "data_format: unknown: got 'NCDHW'"),
    ({"padding": "full"}, LayerError, "padding", "padding: unknown: got 'full', expected 'valid' or 'same'"),
    ({"padding": 1}, LayerError, "padding", "padding: not understood: got 1, expected 'valid', 'same' or three"),
    ({"padding": None}, LayerError, "padding", "padding: not understood: got None"),
    ({"padding": [(1, 1), (1, 1)]}, LayerError, "padding", "padding: not understood: got [(1, 1), (1, 1)]"),
    ({"padding": [(1, 1)] * 4}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(1, 1), (1, 1), (1,)]}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(1, 1), (1, 1), (1, 1, 1)]}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(1, 1), (1, 1), (1, 0.5)]}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(1, 1), (1, 1), (1, float("nan"))]}, LayerError, "padding", "padding: not understood"),
    ({"padding": [("1", "1")] * 3}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(1, 1), (1, -1), (1, 1)]}, LayerError, "padding", "padding: not understood"),
    ({"padding": [(-1, 1), (1, 1), (1, 1)]}, LayerError, "padding", "padding: not understood"),
    ({"bias": [1, 2, 3]}, ShapeError, "bias", "bias: wrong shape: got (3,), expected (4,)"),
    ({"bias": [[1], [2], [3], [4]]}, ShapeError, "bias", "bias: wrong shape: got (4, 1), expected (4,)"),
    ({"bias": list("abcd")}, LayerError, None, "bias: not real numbers"),
    ({"method": "fftt"}, UsageError, None, "method: unknown: got 'fftt', expected one of auto, direct, "),
    ({"accuracy": "sloppy"}, UsageError, None, "accuracy: unknown: got 'sloppy', expected one of strict, default"),
    ({"threads": 0}, UsageError, None, "threads: must be at least 1, got 0"),
    ({"max_memory": "much"}, UsageError, None, "max_memory: not a size: got 'much'"),
    ({"max_memory": 1000}, OverLimit, None, "memory: not enough for this convolution"),
]


@pytest.mark.parametrize(("change", "error", "argument", "text"), REFUSED, ids=lambda v: v if type(v) is str else "")
def test_what_is_refused(change, error, argument, text):
    arguments = {"x": X, "kernel": KERNEL, **change}
    with pytest.raises(error, match=re.escape(text)) as told:
        convolve(arguments.pop("x"), arguments.pop("kernel"), **arguments)
    assert type(told.value) is error
    assert getattr(told.value, "argument", None) == argument
    assert "\n" not in str(told.value)
