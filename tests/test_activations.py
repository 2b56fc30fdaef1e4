"""Every activation against TensorFlow's values, its formula, and the promises that hold for all of them."""

from __future__ import annotations

import json
from math import erf
from pathlib import Path

import numpy as np
import pytest
from recorded import cases

from conv3d_cli.errors import ShapeError
from conv3d_cli.layers.activations import TABLES, Activation
from conv3d_cli.layers.activations.calls import CHUNK

RECORDED = Path(__file__).parent / "recorded" / "keras.npz"
# PReLU has weights, and the layer Activation holds another: they have tests of their own.
ROWS = {name: row for name, row in TABLES[2].rows.items() if name not in ("PReLU", "Activation")}
ELEMENTWISE = [name for name, row in ROWS.items() if "axis" not in row.parameters]
DTYPES = ("float32", "float64")

# Relative error allowed, where a library's exp, tanh or erf is behind the value.
TOLERANCE = {"float32": 6e-7, "float64": 1e-14}
# Functions that are x times a gate between 0 and 1, which TensorFlow computes to a rounding of 1, not of the gate.
GATED = ("swish", "gelu")
# Constants that TensorFlow rounds to float32 before it computes in float64.
ROUNDED = {("gelu", "float64"): 1e-7, ("LeakyReLU", "float64"): 1e-7}
# Where TensorFlow leaves the definition: it multiplies an infinity by 0 (NaN), and its float32 exponential is
# infinite before the largest float32 is reached.
KERAS_FAULTS = {
    ("relu", -np.inf): np.isnan,
    ("ReLU", -np.inf): np.isnan,
    ("ThresholdedReLU", -np.inf): np.isnan,
    ("exponential", 88.5): np.isinf,
}


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as arrays:
        return dict(arrays)


def compare(got, want, size, tolerance):
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    error = np.abs(got[finite].astype(np.float64) - want[finite])
    limit = tolerance * np.maximum(np.abs(want), size)[finite]
    assert (error <= limit).all(), (got[finite][error > limit], want[finite][error > limit])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i", range(len(cases.ACTIVATIONS)), ids=lambda i: json.dumps(cases.ACTIVATIONS[i]))
def test_values_of_tensorflow(i, dtype, recorded):
    activation = Activation.of(cases.ACTIVATIONS[i])
    x = cases.GRID.astype(dtype)
    got, want = activation(x), recorded[f"activation/{i}/{dtype}"]
    assert got.dtype == np.dtype(dtype)
    faults = [KERAS_FAULTS.get((activation.name, value), np.zeros_like)(w) for value, w in zip(x, want, strict=True)]
    lost = np.array(faults, dtype=bool)
    size = np.abs(x) if activation.name in GATED else np.full_like(x, 0.25)
    tolerance = ROUNDED.get((activation.name, dtype), TOLERANCE[dtype])
    compare(got[~lost], want[~lost], size[~lost], tolerance)
    assert not np.isnan(got[lost]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i", range(len(cases.SOFTMAX)), ids=lambda i: json.dumps(cases.SOFTMAX[i]))
def test_softmax_of_tensorflow(i, dtype, recorded):
    activation = Activation.of(cases.SOFTMAX[i])
    x = 5 * cases.draw(i, [(1, 2, 3, 2, 2)], dtype)[0]
    compare(activation(x), recorded[f"softmax/{i}/{dtype}"], 0.0, 2 * TOLERANCE[dtype])
    np.testing.assert_allclose(activation(x).sum(axis=activation.axis), 1, rtol=1e-6)


def test_every_row_is_recorded():
    names = {v if isinstance(v, str) else v["class_name"] for v in cases.ACTIVATIONS + cases.SOFTMAX}
    assert names == set(ROWS)


# The formulas of the 2.4 documentation, in float64 and with no care for overflow.
FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "elu": lambda x: x if x > 0 else np.exp(x) - 1,
    "selu": lambda x: 1.05070098 * (x if x > 0 else 1.67326324 * (np.exp(x) - 1)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: min(max(0.2 * x + 0.5, 0.0), 1.0),
    "LeakyReLU": lambda x: x if x > 0 else float(np.float32(0.3)) * x,
    "ReLU": lambda x: max(x, 0.0),
    "ELU": lambda x: x if x > 0 else np.exp(x) - 1,
    "ThresholdedReLU": lambda x: x if x > 1 else 0.0,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_formula(name):
    x = np.linspace(-8, 8, 161)
    got = Activation.of({"class_name": name, "config": {}})(x)
    np.testing.assert_allclose(got, [FORMULAS[name](v) for v in x], rtol=1e-8, atol=1e-12)


def default(name):
    return Activation.of({"class_name": name, "config": {}})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_input_stays_and_output_is_filled(name, dtype):
    x = np.random.RandomState(0).standard_normal((2, 3, 4, 5, 3)).astype(dtype)
    before = x.copy()
    y = default(name)(x)
    np.testing.assert_array_equal(x, before)
    assert y is not x
    assert y.dtype == x.dtype
    out = np.full_like(x, 7)
    assert default(name)(x, out=out) is out
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("name", ROWS)
def test_in_place_and_through_views(name):
    x = np.random.RandomState(1).standard_normal((2, 5, 8, 9, 70)).astype(np.float32)
    y = default(name)(x)
    assert x.size > CHUNK
    inplace = x.copy()
    default(name)(inplace, out=inplace)
    np.testing.assert_array_equal(inplace, y)
    view, target = x[:, ::2].transpose(0, 3, 1, 2, 4), np.zeros((9, 2, 3, 8, 70), np.float32)
    got = default(name)(view, out=target.transpose(1, 0, 2, 3, 4))
    np.testing.assert_allclose(got, y[:, ::2].transpose(0, 3, 1, 2, 4), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(target.transpose(1, 0, 2, 3, 4), got)


def test_relu_keeps_nan():
    # A fused relu of oneDNN makes 0 of it.
    x = np.array([np.nan, -1, 1], np.float32)
    np.testing.assert_array_equal(Activation.of("relu")(x), [np.nan, 0, 1])
    np.testing.assert_array_equal(Activation.of("relu", keras=3)(x), [np.nan, 0, 1])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_stays_and_goes_nowhere(name):
    x = np.zeros(64, np.float32)
    x[17] = np.nan
    assert np.flatnonzero(np.isnan(default(name)(x))).tolist() == [17]


def test_softmax_spreads_nan_along_its_axis_only():
    x = np.zeros((2, 3, 4), np.float32)
    x[1, 2, 3] = np.nan
    y = Activation.of({"class_name": "softmax", "config": {"axis": 1}})(x)
    assert np.isnan(y).sum() == 3
    assert np.isnan(y[1, :, 3]).all()


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "swish", "tanh", "softmax", "gelu", "selu"])
def test_no_overflow_at_large_values(name):
    x = np.array([[-3e38, -200, 0, 200, 3e38]], np.float32)
    assert np.isfinite(default(name)(x)).all()


@pytest.mark.parametrize("name", ROWS)
def test_empty(name):
    assert default(name)(np.zeros((1, 0, 2, 2, 0), np.float32)).shape == (1, 0, 2, 2, 0)


def test_small_values_are_not_lost():
    x = np.array([-1e-6, 1e-6], np.float32)
    np.testing.assert_allclose(default("elu")(x), np.expm1(x.astype(np.float64)), rtol=1e-6)
    np.testing.assert_allclose(default("sigmoid")(np.array([-80], np.float32)), np.exp(-80.0), rtol=1e-6)


def test_temporaries_are_small():
    import tracemalloc

    x = np.zeros(4_000_000, np.float32)
    tracemalloc.start()
    for name in ELEMENTWISE:
        default(name)(x, out=x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4


def test_axis():
    assert Activation.of("softmax").axis == -1
    with pytest.raises(ShapeError, match=r"softmax: axis: not an axis of the output: got 5, expected -5 to 4"):
        Activation.of({"class_name": "softmax", "config": {"axis": 5}})(np.zeros((1, 1, 1, 1, 1)))
