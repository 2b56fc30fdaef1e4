"""Conv3D as both dialects of Keras write, charge, refuse and compute it: what record_layers.py recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded import cases
from recorded import cases_layers as more

from conv3d_cli.errors import InputError, LayerError, ShapeError
from conv3d_cli.layers import Conv3D, Network, make_layer

FOLDER = Path(__file__).parent / "recorded"
LAYERS = json.loads((FOLDER / "layers.json").read_text())
DIALECTS = (2, 3)

# Where this layer is kinder than Keras 3.15, which cannot read what it writes itself.
KINDER = {(3, "constant")}

# Arguments that Keras 3 takes and this layer refuses, and those where it raises an error that is not its own.
ACCEPTED_BY_KERAS_3 = {"padding": "a list is taken, and fails later", "filters": "2.0", "kernel_size": "1.5 in a list"}
OTHER_TYPE_IN_KERAS_3 = {
    "padding": "None has no lower case there",
    "filters": "a text cannot be compared with a number there",
    "activation": "a missing attribute there",
    "kernal_size": "an unknown argument is a TypeError here, as in Keras 2",
}
EMPTY_OUTPUTS = "Keras 3 refuses outputs without voxels, which Keras 2 gives"


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "layers.npz") as stored:
        return {key: stored[key] for key in stored.files}


def rows(part):
    """Return every recorded row of a part as parameters (dialect, row)."""
    return [pytest.param(k, row, id=f"{k}-{i}") for k in DIALECTS for i, row in enumerate(LAYERS[str(k)][part])]


def called(layer, shape, seed):
    """Return what the layer gives for the numbers and the weights that the recorder drew."""
    x = cases.draw(seed, [shape], "float64")[0]
    layer.build(shape)
    layer.set_weights(cases.draw(seed + 1, [w.shape for w in layer.weights], "float64"))
    return layer(x.astype(layer.dtype))


@pytest.mark.parametrize(("keras", "row"), rows("configs"))
def test_get_config_is_that_of_keras(keras, row):
    layer = Conv3D(keras=keras, **row["given"])
    if "error" in row:
        assert (keras, row["given"]["kernel_initializer"]) in KINDER
        return
    config = layer.get_config()
    assert json.dumps(config) == json.dumps(row["config"])
    for again in (Conv3D.from_config(row["config"]), Conv3D.from_config(config)):
        assert again.keras == (keras if keras == 3 else 2)
        assert json.dumps(again.get_config()) == json.dumps(row["config"])
    assert json.dumps(make_layer("Conv3D", row["config"]).get_config()) == json.dumps(config)


def test_every_kind_of_argument_is_in_the_configurations():
    for keras in DIALECTS:
        given = [row["given"] for row in LAYERS[str(keras)]["configs"]]
        names = {name for one in given for name in one}
        assert len(given) > 70
        assert set(Conv3D.signature.arguments) - names == {"batch_input_shape", "boundary", "dialect", "flip"}


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("i", range(len(more.LOSSES)))
def test_losses(keras, i):
    given, shape = more.LOSSES[i]
    layer = Conv3D(keras=keras, **given)
    assert layer.losses == []
    called(layer, shape, i)
    row = LAYERS[str(keras)]["losses"][i]
    if "error" in row:
        assert (keras, len(shape)) == (3, 6)
        row = LAYERS["2"]["losses"][i]
    assert [list(w.shape) for w in layer.weights] == row["weights"]
    assert layer.count_params() == row["count"]
    rtol = {"float16": 2e-3, "float32": 3e-6, "float64": 1e-7}[layer.dtype]
    np.testing.assert_allclose(layer.losses, row["losses"], rtol=rtol)
    if len(layer.losses) > 2:
        layer(np.zeros(shape))
        assert layer.losses[1:] == pytest.approx(row["losses"][1:], rel=rtol)
        assert layer.losses[0] != pytest.approx(row["losses"][0], rel=0.01)


@pytest.mark.parametrize(("keras", "row"), rows("prelu"))
def test_prelu_inside_and_beside(keras, row, arrays):
    number = more.PRELU.index(row["config"])
    prelu = {"class_name": "PReLU", "config": row["config"]}
    if row["where"] == "inside":
        layer = Conv3D(keras=keras, **more.conv(activation=prelu))
        y = called(layer, more.PRELU_SHAPE, number)
        weights = layer.weights
        assert list(layer.variables) == ["kernel", "bias", "alpha"]
        assert [w.shape for w in layer.get_weights()] == [w.shape for w in weights]
    else:
        network = Network([Conv3D(keras=keras, **more.conv()), make_layer("PReLU", row["config"], keras)])
        network.build(more.PRELU_SHAPE)
        weights = [w for layer in network for w in layer.weights]
        drawn = cases.draw(number + 1, [w.shape for w in weights], "float64")
        network[0].set_weights(drawn[:2])
        network[1].set_weights(drawn[2:])
        layer, y = network, network(cases.draw(number, [more.PRELU_SHAPE], "float64")[0].astype("float32"))
    assert [list(w.shape) for w in weights] == row["weights"]
    assert layer.count_params() == row["count"]
    recorded = arrays[f"{keras}/prelu/{row['where']}/{number}"]
    np.testing.assert_allclose(y, recorded, rtol=0, atol=2e-6 * np.abs(recorded).max())


@pytest.mark.parametrize(("keras", "row"), rows("set_weights"))
def test_set_weights_refuses_what_keras_refuses(keras, row):
    layer = Conv3D(keras=keras, **more.conv())
    layer.build((1, 5, 5, 5, 1))
    before = layer.get_weights()
    given = [np.zeros(shape) for shape in row["shapes"]]
    if "error" not in row:
        layer.set_weights(given)
        assert not any(w.any() for w in layer.weights)
        return
    assert row["error"] == "ValueError"
    with pytest.raises(ShapeError, match=r"^layer 'conv3d': .*: got .*, expected "):
        layer.set_weights(given)
    assert all(np.array_equal(old, new) for old, new in zip(before, layer.weights, strict=True))


@pytest.mark.parametrize("row", LAYERS["3"]["errors"], ids=lambda row: json.dumps([row["change"], row["shape"]]))
def test_errors_are_of_the_types_of_keras_3(row):
    argument, shape = next(iter(row["change"]), None), row["shape"]
    raised = output = None
    try:
        layer = Conv3D(keras=3, **{"filters": 2, "kernel_size": 3, **row["change"]})
        if shape is not None:
            layer.build(shape)
            output = None if None in shape else list(layer(np.zeros(shape)).shape)
    except (ValueError, TypeError) as error:
        raised = error
    assert raised is None or (isinstance(raised, InputError) and "\n" not in str(raised))
    recorded = row.get("error")
    if recorded is None:
        assert raised is None or (isinstance(raised, ValueError) and argument in ACCEPTED_BY_KERAS_3)
        assert raised is not None or output == row.get("output_shape")
    elif raised is None:
        assert 0 in output, EMPTY_OUTPUTS
    elif not isinstance(raised, {"ValueError": ValueError, "TypeError": TypeError}.get(recorded, ())):
        assert argument in OTHER_TYPE_IN_KERAS_3 or shape == [1, 4, 4, 4, None]


@pytest.mark.parametrize(("keras", "row"), rows("calls"))
def test_calls_after_the_first(keras, row):
    layer = Conv3D(keras=keras, **more.conv())
    layer(np.zeros(row["built"], np.float32))
    x = np.ones(row["shape"], row["dtype"])
    if row.get("error") == "ValueError" and row["dtype"] == "float32":
        with pytest.raises(ShapeError, match=r"^layer 'conv3d': (wrong number of channels|input has too few dim)"):
            layer(x)
    else:
        # Integers and bool, which the frameworks refuse, are cast.
        assert ("error" in row) == (row["dtype"] in ("int32", "bool"))
        np.testing.assert_array_equal(layer(x), layer(x.astype("float32")))
        assert list(layer(x).shape) == row.get("output_shape", [1, 3, 3, 3, 2])


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("i", range(len(more.DIFFERENT)), ids=lambda i: str(more.DIFFERENT[i]))
def test_values_of_either_dialect(keras, i, arrays):
    given = more.conv(4, 2, activation=more.DIFFERENT[i])
    if str(i) in LAYERS[str(keras)]["different"]:
        with pytest.raises(LayerError, match="is of keras: 3"):
            Conv3D(keras=keras, **given)
        return
    y, recorded = called(Conv3D(keras=keras, **given), more.DIFFERENT_SHAPE, i), arrays[f"{keras}/different/{i}"]
    if more.DIFFERENT[i] == "sparsemax":
        # What Keras 3.15 gives is no projection; tests of the frameworks' bugs show it.
        return
    assert y.shape == recorded.shape
    # Sixteen terms and a bias of size one each: rounding of sums up to about twenty, through slopes of at most one.
    np.testing.assert_allclose(y, recorded, rtol=0, atol=20 * 17 * np.finfo("f4").eps)
    if more.DIFFERENT[i] == "hard_sigmoid":
        assert np.abs(arrays[f"2/different/{i}"] - arrays[f"3/different/{i}"]).max() > 0.05


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("i", range(len(more.FLOAT16)))
def test_float16_agrees_to_its_rounding(keras, i, arrays):
    given, shape = more.FLOAT16[i]
    layer = Conv3D(keras=keras, dtype="float16", **given)
    y, recorded = called(layer, shape, i), arrays[f"{keras}/float16/{i}"]
    assert y.dtype == recorded.dtype == np.float16
    assert all(w.dtype == np.float16 for w in layer.weights)
    # What comes in is of the layer's type first.
    np.testing.assert_array_equal(layer(cases.draw(i, [shape], "float64")[0]), y)
    # Here the sums are float32; a framework may round what it adds up, and what each step gives, to float16.
    exact = Conv3D(keras=keras, dtype="float64", **given)
    exact.build(shape)
    exact.set_weights(layer.weights)
    want = exact(cases.draw(i, [shape], "float64")[0].astype("float16"))
    eps = float(np.finfo("f2").eps)
    assert (np.abs(y - want) <= eps * (0.5 * np.abs(want) + 1e-3)).all()
    # A sum of up to 216 terms of size one each is of size 15, and an activation has a slope of at most one.
    atol = 15 * eps * max(np.abs(want).max(), 1)
    np.testing.assert_allclose(y.astype("f8"), recorded.astype("f8"), rtol=0, atol=atol)
