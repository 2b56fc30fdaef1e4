"""Derivatives of the activations: against recordings, against differences, and at kinks, NaN and infinities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded import cases

from conv3d_cli.errors import LayerError
from conv3d_cli.layers.activations import TABLES, Activation
from conv3d_cli.layers.activations.derivatives import DERIVATIVES, MIXING, function_of, vjp

HERE = Path(__file__).parent / "recorded"
FOUND = json.loads((HERE / "gradients.json").read_text())
VALUES = np.load(HERE / "gradients.npz")

EVERY = [(keras, name) for keras, table in TABLES.items() for name in table.rows if name != "Activation"]
NEEDED = {"threshold": {"threshold": 1.0, "default_value": -2.0}}
OTHERWISE = [
    (2, "relu", {"alpha": 0.5, "max_value": 2.0, "threshold": 1.0}),
    (2, "elu", {"alpha": 0.5}),
    (2, "gelu", {"approximate": True}),
    (2, "Softmax", {"axis": [1, -1]}),
    (2, "LeakyReLU", {"alpha": -0.25}),
    (3, "celu", {"alpha": 0.5}),
    (3, "squareplus", {"b": 0.25}),
    (3, "sparsemax", {"axis": 1}),
    (3, "glu", {"axis": 1}),
    (3, "log_softmax", {"axis": -2}),
]
SETTINGS = [(keras, name, NEEDED.get(name, {})) for keras, name in EVERY] + OTHERWISE


def activation_of(keras, name, config):
    return Activation.of({"class_name": name, "config": config} if config or name[0].isupper() else name, keras=keras)


def recorded(kind):
    return [
        pytest.param(section, i, row, id=f"{section}-{row if isinstance(row, str) else json.dumps(row)}")
        for section in ("keras2", "keras3")
        for i, row in enumerate(FOUND[section][kind])
    ]


@pytest.mark.parametrize(("keras", "name"), EVERY)
def test_every_activation_has_a_derivative(keras, name):
    compute, _ = function_of(activation_of(keras, name, NEEDED.get(name, {})))
    assert (compute in DERIVATIVES) != (compute in MIXING)


@pytest.mark.parametrize(("keras", "name", "config"), SETTINGS)
def test_derivatives_are_the_limits_of_differences(keras, name, config):
    activation = activation_of(keras, name, config)
    # None of these lies within a step of a kink.
    z = np.random.RandomState(5).permutation(np.linspace(-3.9371, 3.9411, 2 * 4 * 2 * 3 * 6)).reshape(2, 4, 2, 3, 6)
    alpha = np.linspace(0.1, 0.9, 2 * 18).reshape(1, 2, 3, 6)
    weights = {"alpha": alpha} if name == "PReLU" else None
    step = 1e-6
    up, direction = cases.draw(1, [activation.output_shape(z.shape), z.shape], "float64")
    rise = activation(z + step * direction, weights=weights) - activation(z - step * direction, weights=weights)
    dz, dalpha = vjp(activation, z, up, weights)
    assert dz.shape == z.shape
    assert np.sum(dz * direction) == pytest.approx(np.sum(up * rise) / (2 * step), rel=1e-7, abs=1e-7)
    if weights is None:
        assert dalpha is None
        return
    turn = np.cos(np.arange(alpha.size)).reshape(alpha.shape)
    rise = activation(z, weights={"alpha": alpha + step * turn}) - activation(z, weights={"alpha": alpha - step * turn})
    assert dalpha.shape == alpha.shape
    assert np.sum(dalpha * turn) == pytest.approx(np.sum(up * rise) / (2 * step), rel=1e-7)


@pytest.mark.parametrize(("section", "i", "row"), recorded("grid"))
def test_slopes_are_those_of_the_frameworks(section, i, row):
    activation = Activation.of(row, keras=int(section[-1]))
    z = cases.GRID.astype(np.float32)
    config = row["config"] if isinstance(row, dict) else {}
    weights = {"alpha": np.float32(0.25).reshape(1)} if "alpha_initializer" in config else None
    got, _ = vjp(activation, z[np.newaxis], np.ones_like(z)[np.newaxis], weights)
    got, want = got[0], VALUES[f"{section}/grid/{i}"]
    assert got.dtype == np.float32
    # A NaN stays a NaN here, where a comparison in TensorFlow drops it; no infinity makes one.
    assert np.isnan(got[np.isnan(z)]).all()
    assert not np.isnan(got[~np.isnan(z)]).any()
    compared = np.isfinite(want) & ~np.isnan(z)
    if activation.name == "celu":
        assert (want[z == 0] == 2).all()  # its maximum and its minimum both pass there: 1 is right
        compared &= z != 0
    if activation.name in ("mish", "squareplus", "sparse_plus"):
        compared &= np.abs(z) < 1e4  # where TensorFlow's own form overflows or cancels
    if activation.name == "selu":
        compared &= np.abs(z) != np.float32(1e-8)  # TensorFlow asks the rounded result on which side of 0 it is
    assert compared.sum() > 50
    # Most of the difference is the framework's own: its tanh of the approximate gelu cancels to 2.8e-6.
    np.testing.assert_allclose(got[compared], want[compared], rtol=1e-6, atol=4e-6)


@pytest.mark.parametrize(("section", "i", "row"), recorded("mixed"))
def test_mixing_activations_are_those_of_the_frameworks(section, i, row):
    activation = Activation.of(row, keras=int(section[-1]))
    z = cases.draw(i, [(2, 4, 3, 6, 4)], "float32")[0]
    upstream = cases.draw(i + 500, [activation.output_shape(z.shape)], "float32")[0]
    got, _ = vjp(activation, z, upstream)
    np.testing.assert_allclose(got, VALUES[f"{section}/mixed/{i}"], rtol=0, atol=2e-6)


@pytest.mark.parametrize(("keras", "name", "config"), SETTINGS)
def test_a_gradient_is_of_its_type_and_leaves_its_arguments(keras, name, config):
    activation = activation_of(keras, name, config)
    for dtype in (np.float32, np.float64):
        z = cases.draw(2, [(2, 4, 3, 2, 4)], dtype)[0]
        upstream = cases.draw(3, [activation.output_shape(z.shape)], dtype)[0]
        weights = {"alpha": np.ones((1, 1, 1, 4), dtype)}
        kept = z.copy(), upstream.copy()
        got, alpha = vjp(activation, z, upstream, weights)
        assert got.dtype == dtype
        assert alpha is None or (alpha.dtype == dtype and alpha.shape == (1, 1, 1, 4))
        np.testing.assert_array_equal(z, kept[0])
        np.testing.assert_array_equal(upstream, kept[1])
        assert got is not upstream


@pytest.mark.parametrize(("keras", "name", "config"), SETTINGS)
def test_float32_is_as_exact_as_its_type(keras, name, config):
    activation = activation_of(keras, name, config)
    z = np.resize(cases.GRID[np.abs(cases.GRID) < 50], (2, 4, 3, 2, 4)).astype(np.float32)
    upstream = cases.draw(3, [activation.output_shape(z.shape)], np.float32)[0]
    weights = {"alpha": np.full((4, 3, 2, 4), 0.5, np.float32)}
    got, _ = vjp(activation, z, upstream, weights)
    want, _ = vjp(activation, z.astype(np.float64), upstream.astype(np.float64), weights)
    np.testing.assert_allclose(got, want, rtol=5e-6, atol=1e-6)


def test_float32_slopes_are_exact_in_the_tails():
    z = np.array([-30.0, -15.0, -5.0, 5.0, 15.0, 30.0])
    for keras, name in [(2, "tanh"), (2, "sigmoid"), (2, "softplus"), (3, "log_sigmoid"), (3, "squareplus")]:
        activation = Activation.of(name, keras=keras)
        exact, _ = vjp(activation, z, np.ones_like(z))
        single, _ = vjp(activation, z.astype(np.float32), np.ones(6, np.float32))
        np.testing.assert_allclose(single, exact, rtol=1e-5)
        assert (exact > 0).all()


def test_sparsemax_of_nan_is_nan_along_its_axis_only():
    z = np.array([[0.0, 0.5], [np.nan, 1.0]])
    got, _ = vjp(Activation.of("sparsemax", keras=3), z, np.ones((2, 2)))
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[0]).all()


def test_a_function_of_python_has_no_derivative():
    with pytest.raises(LayerError, match=r"activation: absolute: its derivative is not known: got a Python function"):
        vjp(Activation.of(np.absolute), np.ones(3), np.ones(3))


def test_prelu_needs_its_alpha():
    prelu = Activation.of({"class_name": "PReLU", "config": {}})
    with pytest.raises(LayerError, match="activation: PReLU: alpha: no weights"):
        vjp(prelu, np.ones((1, 3)), np.ones((1, 3)))


def test_the_layer_activation_has_the_derivative_of_what_it_holds():
    held = Activation.of({"class_name": "Activation", "config": {"activation": "tanh"}})
    np.testing.assert_allclose(vjp(held, np.array([1.0]), np.ones(1))[0], 1 - np.tanh(1.0) ** 2)


def test_nothing_has_an_empty_gradient():
    got, alpha = vjp(Activation.of("softmax"), np.ones((2, 0)), np.ones((2, 0)))
    assert got.shape == (2, 0)
    assert alpha is None
