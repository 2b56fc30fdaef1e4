"""The activations of Keras 3 against its values, their formulas, and the promises that hold for all of them."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from math import erf
from pathlib import Path

import numpy as np
import pytest
from recorded import cases
from recorded import cases_activations as more

from conv3d_cli.layers.activations import TABLES, Activation

RECORDED = Path(__file__).parent / "recorded"
DTYPES = ("float32", "float64")
NEEDED = {"threshold": {"threshold": 0.5, "default_value": 0.25}}
ROWS = {name: row for name, row in TABLES[3].rows.items() if name not in ("PReLU", "Activation")}
ELEMENTWISE = [name for name, row in ROWS.items() if "axis" not in row.parameters]
KEEPING = [name for name in ROWS if name != "glu"]

TOLERANCE = {"float32": 6e-7, "float64": 1e-14}
# Values that Keras gets by subtracting or by multiplying what is rounded, so that it is as exact as what it starts
# from: x, or 1 for the softplus that it starts mish from.
FROM_X = ("silu", "gelu", "mish", "hard_silu", "tanh_shrink", "squareplus", "sparse_plus")
# Parameters that TensorFlow rounds to float32 before it computes in float64.
ROUNDED = {("gelu", "float64"): 1e-7, ("leaky_relu", "float64"): 1e-7, ("LeakyReLU", "float64"): 1e-7}


def fault(name, x):
    """Return whether Keras leaves the definition at a value of the grid, and how it shows."""
    if name in ("hard_shrink", "soft_shrink", "threshold", "relu") and np.isnan(x):
        return np.isfinite
    if name in ("relu", "ReLU", "squareplus") and x == -np.inf:
        return np.isnan
    if name == "squareplus" and abs(x) == 1e30:
        return lambda got: np.isinf(got) or np.isnan(got) or got == 0
    if name == "exponential" and x == 88.5:
        return np.isinf
    return None


def of(name, keras=3, **config):
    return Activation.of({"class_name": name, "config": {**NEEDED.get(name, {}), **config}}, keras=keras)


@pytest.fixture(scope="module")
def recorded():
    found = {}
    for keras in (2, 3):
        with np.load(RECORDED / f"activations_{keras}.npz") as arrays:
            found[keras] = dict(arrays)
    return found


def compare(got, want, size, tolerance):
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    limit = tolerance * np.maximum(np.abs(want), size)[finite]
    assert (error <= limit).all(), (got[finite][error > limit], want[finite][error > limit])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i", range(len(more.ELEMENTWISE)), ids=lambda i: json.dumps(more.ELEMENTWISE[i]))
def test_values_of_keras(i, dtype, recorded):
    activation = Activation.of(more.ELEMENTWISE[i], keras=3)
    x = cases.GRID.astype(dtype)
    got, want = activation(x), recorded[3][f"elementwise/{i}/{dtype}"]
    assert got.dtype == np.dtype(dtype)
    shows = [fault(activation.name, value) for value in cases.GRID]
    lost = np.array([f is not None and bool(f(w)) for f, w in zip(shows, want, strict=True)])
    size = np.maximum(np.abs(x), 0.25) if activation.name in FROM_X else np.full_like(x, 0.25)
    compare(got[~lost], want[~lost], size[~lost], ROUNDED.get((activation.name, dtype), TOLERANCE[dtype]))
    assert (np.isnan(got[lost]) == np.isnan(x[lost])).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("keras", "i"),
    [(keras, i) for keras, values in more.ALONG_AXES.items() for i in range(len(values))],
    ids=lambda v: str(v),
)
def test_values_along_axes(keras, i, dtype, recorded):
    activation = Activation.of(more.ALONG_AXES[keras][i], keras=keras)
    x, want = more.block(i, dtype), recorded[keras][f"along/{i}/{dtype}"]
    before = x.copy()
    got = activation(x)
    np.testing.assert_array_equal(x, before)
    assert got.shape == activation.output_shape(x.shape) == want.shape
    if activation.name == "sparsemax":
        # Keras adds up the sums of the largest values where it should take the last of them: its results, but for
        # those of a single value left, do not have sum 1.
        single = np.count_nonzero(got, axis=activation.axis, keepdims=True) == 1
        same = np.broadcast_to(single, got.shape)
        assert 0 < np.count_nonzero(single) < single.size
        compare(got[same], want[same], 1.0, TOLERANCE[dtype])
        assert np.abs(want.sum(axis=activation.axis, keepdims=True)[~single] - 1).min() > 1e-3
        np.testing.assert_allclose(got.sum(axis=activation.axis), 1, rtol=TOLERANCE[dtype])
        return
    # A log_softmax near 0 is a difference of larger numbers, and along several axes Keras takes e to such a one.
    size = 1.0 if activation.name == "log_softmax" else 0.0
    compare(got, want, size, (8 if len(activation.axes) > 1 else 2) * TOLERANCE[dtype])


def test_every_row_is_recorded():
    names = {v if isinstance(v, str) else v["class_name"] for v in [*more.ELEMENTWISE, *more.ALONG_AXES[3]]}
    assert names - set(TABLES[3].aliases) == set(ROWS)


# The formulas of Keras's pages, in float64 and with no care for overflow.
FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "elu": lambda x: x if x > 0 else np.exp(x) - 1,
    "celu": lambda x: x if x > 0 else np.exp(x) - 1,
    "selu": lambda x: 1.05070098 * (x if x > 0 else 1.67326324 * (np.exp(x) - 1)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "hard_silu": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
    "hard_tanh": lambda x: min(max(x, -1.0), 1.0),
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "soft_shrink": lambda x: np.sign(x) * max(abs(x) - 0.5, 0.0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "threshold": lambda x: x if x > 0.5 else 0.25,
    "log_sigmoid": lambda x: -np.log(1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: 0.0 if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4,
    "sparse_sigmoid": lambda x: min(max((x + 1) / 2, 0.0), 1.0),
    "LeakyReLU": lambda x: x if x > 0 else 0.3 * x,
    "ReLU": lambda x: max(x, 0.0),
    "ELU": lambda x: x if x > 0 else np.exp(x) - 1,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_formula(name):
    x = np.linspace(-8, 8, 161)
    np.testing.assert_allclose(of(name)(x), [FORMULAS[name](v) for v in x], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KEEPING)
def test_input_stays_and_output_is_filled(name, dtype):
    x = np.random.RandomState(1).standard_normal((2, 5, 8, 9, 70)).astype(dtype)
    before = x.copy()
    y = of(name)(x)
    np.testing.assert_array_equal(x, before)
    assert y.dtype == x.dtype
    out = np.full_like(x, 7)
    assert of(name)(x, out=out) is out
    np.testing.assert_array_equal(out, y)
    view, target = x[:, ::2].transpose(0, 3, 1, 2, 4), np.zeros((9, 2, 3, 8, 70), dtype)
    got = of(name)(view, out=target.transpose(1, 0, 2, 3, 4))
    np.testing.assert_allclose(got, y[:, ::2].transpose(0, 3, 1, 2, 4), rtol=1e-6, atol=1e-7)
    assert of(name)(x, out=x) is x
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_stays_and_goes_nowhere(name):
    x = np.zeros(64, np.float32)
    x[17] = np.nan
    assert np.flatnonzero(np.isnan(of(name)(x))).tolist() == [17]


SMOOTH = ["mish", "log_sigmoid", "celu", "squareplus", "tanh_shrink", "silu", "hard_silu", "sparse_plus"]


@pytest.mark.parametrize("name", [*SMOOTH, "sparsemax", "glu"])
def test_no_overflow_at_large_values(name):
    x = np.array([[-3e38, -200, 0, 0, 200, 3e38]], np.float32)
    assert np.isfinite(of(name)(x)).all()


def exactly(name, x):
    """Return a function by 60 digits, from its formula."""
    with localcontext() as context:
        context.prec = 60
        v = Decimal(float(x))
        if name == "tanh_shrink":
            return float(v - ((2 * v).exp() - 1) / ((2 * v).exp() + 1))
        if name == "squareplus":
            return float((v + (v * v + 4).sqrt()) / 2)
        if name == "log_sigmoid":
            return float(-(1 + (-v).exp()).ln())
        if name == "mish":
            square = (1 + v.exp()) ** 2
            return float(v * (square - 1) / (square + 1))
        return float((v.exp() - 1) if v < 0 else v)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh_shrink", "squareplus", "log_sigmoid", "mish", "celu"])
def test_no_digits_are_lost(name, dtype):
    small = [sign * 10.0**-k for k in range(1, 12) for sign in (1, -1)]
    x = np.array([*small, *np.linspace(-30, 30, 151), 1.4999, 1.5, 1.5001]).astype(dtype)
    want = np.array([exactly(name, v) for v in x])
    np.testing.assert_allclose(of(name)(x), want, rtol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", [*KEEPING])
def test_empty(name):
    assert of(name)(np.zeros((1, 0, 2, 2, 0), np.float32)).shape == (1, 0, 2, 2, 0)


def test_empty_halves():
    assert of("glu")(np.zeros((1, 0, 2, 2, 6), np.float32)).shape == (1, 0, 2, 2, 3)


def test_temporaries_are_small():
    import tracemalloc

    x = np.zeros(4_000_000, np.float32)
    tracemalloc.start()
    for name in ELEMENTWISE:
        of(name)(x, out=x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4
