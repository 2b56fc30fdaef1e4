"""``dialect: torch``: paddings, strides with dilation, errors and gradients as recorded from PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from oracle import oracle
from recorded import cases
from tolerances import assert_close

from conv3d_cli.engine import Limits, choose
from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers import Conv3D, convolve

FOLDER = Path(__file__).parent / "recorded"
DIALECT = json.loads((FOLDER / "dialect.json").read_text())
CASES = DIALECT["layers"]
IDS = [json.dumps(case["config"]["padding"]) for case in CASES]


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "dialect.npz") as stored:
        return {key: stored[key] for key in stored.files}


def built(case):
    """Return the layer of a case with its weights, and its input."""
    config, seed = case["config"], case["seed"]
    x, kernel, bias = cases.case_arrays(case)
    layer = Conv3D(dialect="torch", keras=3, **config)
    layer.build(x.shape)
    alpha = cases.draw(seed + 1, [(config["filters"],)], config["dtype"])[0].reshape(1, 1, 1, -1)
    given = {"kernel": kernel, "bias": bias, "alpha": alpha}
    layer.set_weights([given[name] for name in layer.variables])
    return layer, x


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_outputs_are_those_of_pytorch(case, arrays):
    layer, x = built(case)
    y, recorded = layer(x), arrays[f"{case['seed']}/output"]
    assert y.shape == recorded.shape == layer.compute_output_shape(x.shape)
    assert y.dtype == recorded.dtype
    assert y.flags.c_contiguous
    plain = convolve(np.abs(x), np.abs(layer.kernel), **geometry(layer, x))
    limit = 32 * np.finfo(y.dtype).eps * (plain.max() + 1)
    np.testing.assert_allclose(y, recorded, rtol=0, atol=limit * (plain.max() + 1 if layer.activation.axes else 1))


def geometry(layer, x):
    size = x.shape[-4:-1] if layer.channels_last else x.shape[-3:]
    return {
        "strides": layer.strides,
        "padding": layer.pads(size),
        "dilation_rate": layer.dilation_rate,
        "groups": layer.groups,
        "data_format": layer.data_format,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
def test_gradients_are_those_of_pytorch(case, arrays):
    layer, x = built(case)
    upstream = cases.draw(case["seed"] + 500, [layer.compute_output_shape(x.shape)], layer.dtype)[0]
    found = layer.gradients(x, upstream)
    eps = np.finfo(layer.dtype).eps
    for name in ("input", "kernel", "bias", "alpha"):
        got, key = getattr(found, name), f"{case['seed']}/{name}"
        assert (got is None) == (name not in (*layer.variables, "input"))
        if got is not None:
            want = arrays[key].reshape(got.shape)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=0, atol=512 * eps * max(np.abs(want).max(), 1))


def test_enough_is_recorded():
    paddings = [case["config"]["padding"] for case in CASES]
    assert {type(p) for p in paddings} == {int, str, list}
    assert {"valid", "same"} <= {p for p in paddings if isinstance(p, str)}
    assert any(isinstance(p, list) and p[0] != p[1] and isinstance(p[0], list) for p in paddings)
    assert any(isinstance(p, list) and isinstance(p[0], int) for p in paddings)
    both = [c for c in CASES if max(c["config"]["strides"]) > 1 and max(c["config"]["dilation_rate"]) > 1]
    assert len(both) > 10
    assert {str(c["config"]["activation"])[:5] for c in CASES} == {"None", "relu", "glu", "{'cla"}


@pytest.mark.parametrize("row", DIALECT["errors"], ids=lambda row: json.dumps(row["change"]))
def test_what_pytorch_refuses(row):
    assert row["type"] is not None
    config = {"filters": 3, "kernel_size": 3, "dialect": "torch", **row["change"]}
    with pytest.raises(LayerError) as caught:
        Conv3D(**config)
    assert caught.value.argument in row["change"]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("padding", [2, (0, 1, 2), ((0, 2), (3, 0), (1, 1))])
def test_explicit_zeros_against_the_oracle(padding, data_format, dtype):
    layer = Conv3D(4, (2, 3, 1), (1, 2, 3), padding, data_format, (2, 1, 2), 2, dialect="torch", dtype=dtype)
    shape = (2, 5, 6, 4, 2) if layer.channels_last else (2, 2, 5, 6, 4)
    layer.build(shape, seed=3)
    x = cases.draw(1, [shape], dtype)[0]
    y = layer(x)
    planar = np.moveaxis(x, -1, 1) if layer.channels_last else x
    want, magnitude = oracle(planar, layer.kernel, layer.bias, layer.strides, layer.padding, layer.dilation_rate, 2)
    got = np.moveaxis(y, -1, 1) if layer.channels_last else y
    assert y.dtype == np.dtype(dtype)
    if dtype == "float16":
        np.testing.assert_allclose(got.astype("f8"), want, rtol=0, atol=np.finfo("f2").eps * np.abs(want).max())
    else:
        method = choose(layer.problem(shape), Limits.detect()).method
        assert_close(method, dtype, got, want, magnitude, layer.kernel[..., 0].size)


def test_paddings_in_their_one_form():
    def padding(value, **more):
        return Conv3D(1, 3, padding=value, dialect="torch", **more).padding

    assert padding(1) == padding([1, 1, 1]) == padding(np.array([1, 1, 1])) == ((1, 1),) * 3
    assert padding(((1, 2), 3, [0, 0])) == ((1, 2), (3, 3), (0, 0))
    assert padding("SAME") == "same"
    assert padding("valid", strides=2, dilation_rate=2) == "valid"
    layer = Conv3D(1, (2, 3, 4), padding="same", dialect="torch", dilation_rate=(1, 2, 3))
    assert layer.pads((9, 9, 9)) == ((0, 1), (2, 2), (4, 5))


def test_configurations_round_trip_with_the_dialect():
    for keras in (2, 3):
        layer = Conv3D(2, 3, padding=((0, 1), (2, 2), (1, 0)), strides=2, dilation_rate=2, dialect="torch", keras=keras)
        config = layer.get_config()
        assert config["dialect"] == "torch"
        again = Conv3D.from_config(json.loads(json.dumps(config)), keras)
        assert again.padding == layer.padding == ((0, 1), (2, 2), (1, 0))
        assert json.dumps(again.get_config()) == json.dumps(config)
    assert "dialect" not in Conv3D(2, 3, dialect="keras").get_config()


def test_keras_keeps_its_rules():
    for change in ({"padding": 1}, {"padding": ((1, 1),) * 3}, {"strides": 2, "dilation_rate": 2}):
        with pytest.raises(LayerError):
            Conv3D(2, 3, **change)
        Conv3D(2, 3, dialect="torch", **change)


@pytest.mark.parametrize(("size", "words"), [(2, "got 2 voxels, effective kernel 7, stride 2"), (0, "got 0 voxels")])
def test_a_kernel_that_is_larger_than_input_and_zeros(size, words):
    layer = Conv3D(1, 3, dialect="torch", dilation_rate=3, strides=2, padding=((1, 0),) * 3)
    with pytest.raises(ShapeError, match=words):
        layer(np.zeros((1, size, 9, 9, 1)))
    assert layer.compute_output_shape((1, 6, 6, 7, 1)) == (1, 1, 1, 1, 1)


@pytest.mark.parametrize("activation", [{"class_name": "PReLU", "config": {"shared_axes": [1, 2, 3]}}, "glu"], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_gradients_of_activations_that_learn_or_mix(activation, dtype):
    config = {"filters": 4, "kernel_size": 2, "activation": activation, "keras": 3, "dialect": "torch", "padding": 1}
    exact, layer = Conv3D(dtype="float64", **config), Conv3D(dtype=dtype, **config)
    shape = (2, 3, 4, 3, 2)
    x, u = (a.astype(dtype) for a in cases.draw(1, [shape, layer.compute_output_shape(shape)], "float64"))
    for one in (layer, exact):
        one.build(shape)
        one.set_weights([a.astype(dtype) for a in cases.draw(2, [w.shape for w in one.weights], "float64")])
    found, want = layer.gradients(x, u), exact.gradients(x, u)
    for got, reference in zip(found, want, strict=True):
        assert (got is None) == (reference is None)
        if got is not None:
            assert got.dtype == np.dtype(dtype)
            np.testing.assert_allclose(
                got.astype("f8"), reference, rtol=0, atol=np.finfo(dtype).eps * np.abs(reference).max()
            )
    # The exact ones are the limits of differences.
    names, step = list(exact.variables), 1e-6
    x, u = x.astype("f8"), u.astype("f8")
    turns = cases.draw(3, [w.shape for w in exact.weights], "float64")
    kept = exact.get_weights()
    for i, name in enumerate(names):
        sides = []
        for sign in (1, -1):
            exact.set_weights([w + sign * step * turns[j] * (i == j) for j, w in enumerate(kept)])
            sides.append(np.sum(u * exact(x)))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert np.sum(getattr(want, name) * turns[i]) == pytest.approx(slope, rel=1e-5, abs=1e-6)
