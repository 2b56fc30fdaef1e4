"""The layers beside Conv3D: as both dialects of Keras write, refuse and compute them, and by obvious oracles."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from recorded import cases

from conv3d_cli.errors import InputError, LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers import Conv3D, Network, make_layer
from conv3d_cli.layers.borders import Cropping3D, ZeroPadding3D, fit
from conv3d_cli.layers.catalogue import LAYERS as CLASSES

FOLDER = Path(__file__).parent / "recorded"
LAYERS = json.loads((FOLDER / "layers.json").read_text())
DIALECTS = (2, 3)

# Refused here and by Keras 3, not by TensorFlow 2.4.4: rates that are no share, and crops that leave nothing.
STRICTER = [
    *[("Dropout", {"rate": 2}), ("Dropout", {"rate": -0.1}), ("Cropping3D", {"cropping": -1})],
    *[("Cropping3D", {"cropping": [0, 2, 0]}), ("Cropping3D", {"cropping": [[3, 2], [0, 0], [0, 0]]})],
]
TRAINING_ONLY = ["Dropout", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "layers.npz") as stored:
        return {key: stored[key] for key in stored.files}


ROWS = [pytest.param(k, i, id=f"{k}-{i}") for k in DIALECTS for i in range(len(LAYERS[str(k)]["others"]))]


def made(row, keras):
    return make_layer(row["class_name"], row["given"], keras)


@pytest.mark.parametrize(("keras", "number"), ROWS)
def test_layers_are_those_of_keras(keras, number, arrays):
    row = LAYERS[str(keras)]["others"][number]
    name, given, shape = row["class_name"], row["given"], row["shape"]
    if "error" in row or (keras == 2 and (name, given) in STRICTER):
        with pytest.raises(InputError) as caught:
            made(row, keras)(np.zeros(shape))
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, TypeError if "seeds" in given else ValueError)
        return
    layer = made(row, keras)
    config = layer.get_config()
    if name == "InputLayer" and keras == 2 and "name" not in given:
        # Keras counts the inputs of the process from 1.
        config = {**config, "name": "input_1"}
    assert json.dumps(config) == json.dumps(row["config"])
    again = make_layer(name, json.loads(json.dumps(layer.get_config())), keras)
    assert json.dumps(again.get_config()) == json.dumps(layer.get_config())
    if shape is None:
        return
    x = cases.draw(number, [shape], "float64")[0].astype(layer.dtype)
    before = x.copy()
    layer.build(shape)
    assert [list(w.shape) for w in layer.weights] == row["weights"]
    layer.set_weights(cases.draw(number + 1, [w.shape for w in layer.weights], "float64"))
    y, recorded = layer(x), arrays[f"{keras}/others/{number}"]
    assert y.dtype == recorded.dtype
    assert y.shape == recorded.shape == layer.compute_output_shape(shape)
    assert y.flags.c_contiguous
    assert not np.shares_memory(x, y)
    np.testing.assert_array_equal(x, before)
    exact = name in (*TRAINING_ONLY, "ZeroPadding3D", "Cropping3D")
    np.testing.assert_allclose(y, recorded, rtol=0 if exact else 3e-6, atol=0 if exact else 1e-7)


def test_every_class_is_recorded():
    for keras in DIALECTS:
        names = {row["class_name"] for row in LAYERS[str(keras)]["others"]}
        missing = set(CLASSES) - names - {"Conv3D", "Convolution3D", "Magnitude"}
        assert missing == (set() if keras == 2 else {"ThresholdedReLU"})
    with pytest.raises(LayerError, match="ThresholdedReLU is of keras: 2"):
        make_layer("ThresholdedReLU", {}, 3)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("batch", [(2,), (2, 3)])
@pytest.mark.parametrize("pads", [((1, 2), (0, 0), (3, 1)), ((0, 0),) * 3, ((2, 2),) * 3])
def test_padding_is_that_of_numpy_and_cropping_its_inverse(pads, batch, data_format):
    size = (6, 5, 7)
    last = data_format == "channels_last"
    shape = (*batch, *size, 2) if last else (*batch, 2, *size)
    x = cases.draw(1, [shape], "float32")[0]
    widths = [(0, 0)] * len(batch) + ([*pads, (0, 0)] if last else [(0, 0), *pads])
    layer = ZeroPadding3D(pads, data_format)
    y = layer(x)
    np.testing.assert_array_equal(y, np.pad(x, widths))
    assert layer.compute_output_shape(shape) == y.shape
    np.testing.assert_array_equal(Cropping3D(pads, data_format)(y), x)
    np.testing.assert_array_equal(fit(y, [(-a, -b) for a, b in widths]), x)
    out = np.full(y.shape, 7, x.dtype)
    assert fit(x, widths, out) is out
    np.testing.assert_array_equal(out, y)


def test_shapes_with_sizes_that_are_not_known():
    assert ZeroPadding3D(2).compute_output_shape((None, None, 5, None, 3)) == (None, None, 9, None, 3)
    assert Cropping3D(2, "channels_first").compute_output_shape((None, 3, 5, None, 9)) == (None, 3, 1, None, 5)
    assert make_layer("Dropout", {"rate": 0}).compute_output_shape((None,) * 6) == (None,) * 6
    prelu = make_layer("PReLU", {"shared_axes": [1, 2, 3]})
    assert prelu.weight_shapes((None, None, None, None, 4)) == {"alpha": (1, 1, 1, 4)}
    glu = make_layer("Activation", {"activation": "glu"}, 3)
    assert glu.compute_output_shape((None, 5, None, 5, 8)) == (None, 5, None, 5, 4)


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            Cropping3D(2),
            (1, 9, 4, 9, 1),
            r"nothing is left of axis 2: got 4 voxels in \(1, 9, 4, 9, 1\), expected more",
        ),
        (Cropping3D((0, 0, (3, 2)), "channels_first", name="cut"), (1, 1, 9, 9, 5), r"^layer 'cut': .* axis 4: got 5"),
        (Cropping3D(1), (9, 9, 9, 1), r"too few dimensions: got 4 in \(9, 9, 9, 1\), expected at least 5"),
        (ZeroPadding3D(1), (9, 9), r"too few dimensions"),
        (make_layer("Dropout", {"rate": 0.5}), (2, 2), r"^layer 'dropout': input has too few dimensions"),
        (make_layer("Activation", {"activation": "glu"}, 3), (1, 2, 2, 2, 3), r"glu: .* got 3"),
        (make_layer("PReLU", {}), (1, None, 2, 2, 3), r"PReLU: alpha: sizes are not known"),
        (make_layer("Softmax", {"axis": 7}), (1, 2, 2, 2, 3), r"not an axis"),
    ],
)
def test_shapes_that_are_refused(layer, shape, words):
    with pytest.raises(ShapeError, match=words):
        layer.build(shape)
    assert not layer.built
    if None not in shape:
        with pytest.raises(ShapeError, match=words):
            layer(np.zeros(shape))


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "Convolution3D"])
@pytest.mark.parametrize("keras", DIALECTS)
def test_unknown_and_too_many_arguments(name, keras):
    kind = CLASSES[name]
    if (name, keras) == ("ThresholdedReLU", 3):
        return
    required = {
        key: 0.5 if key in ("rate", "stddev") else 1 for key, a in kind.signature.arguments.items() if a.required
    }
    required |= {"activation": "relu"} if "activation" in required else {}
    with pytest.raises(UnknownArgument, match=r"qqq") as caught:
        kind(keras=keras, **required, qqq=1)
    assert isinstance(caught.value, TypeError)
    assert caught.value.argument == "qqq"
    if name != "Conv3D":
        with pytest.raises(LayerError, match=r"too many arguments: got 30 without a name, expected at most \d+"):
            kind(*[1] * 30)
        for argument in required:
            with pytest.raises(LayerError, match=f"^{argument}: is missing, expected "):
                kind(keras=keras)
            with pytest.raises(LayerError, match="too many arguments: got 1 without a name"):
                kind(required[argument], **required)
    else:
        assert len(inspect.signature(kind).parameters) > 15


def test_arguments_by_their_place():
    assert make_layer("LeakyReLU", {"alpha": 0.5}).get_config() == CLASSES["LeakyReLU"](0.5).get_config()
    assert CLASSES["Dropout"](0.25).rate == 0.25
    assert CLASSES["ZeroPadding3D"](2, "channels_first").data_format == "channels_first"
    assert CLASSES["Activation"]("tanh").activation.name == "tanh"
    assert CLASSES["SpatialDropout3D"](0.5, "channels_first").data_format == "channels_first"


@pytest.mark.parametrize("name", TRAINING_ONLY)
@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool", ">i2"])
def test_layers_of_training_copy_whatever_comes_in(name, dtype):
    layer = make_layer(name, {"stddev" if name == "GaussianNoise" else "rate": 0.5})
    x = np.asfortranarray(np.arange(16).reshape(1, 2, 2, 2, 2).astype(dtype))
    y = layer(x)
    np.testing.assert_array_equal(x, y)
    assert y.flags.c_contiguous
    assert not np.shares_memory(x, y)
    assert layer.losses == layer.get_weights() == []
    with pytest.raises(LayerError, match="not real numbers: got complex128"):
        layer(x.astype(complex))


def test_an_input_layer_declares_a_shape():
    for layer in (
        make_layer("InputLayer", {"batch_input_shape": (None, 8, 7, 6, 2)}),
        make_layer("InputLayer", {"input_shape": (8, 7, 6, 2)}),
        make_layer("InputLayer", {"batch_shape": (None, 8, 7, 6, 2)}, 3),
    ):
        assert layer.batch_input_shape == (None, 8, 7, 6, 2)
        network = Network([layer, Conv3D(3, 3)])
        network.build()
        assert network[1].channels == 2
    for bad in ({"sparse": True}, {"ragged": True}, {"dtype": "complex64"}, {"dtype": object}, {"dtype": []}):
        with pytest.raises(LayerError) as caught:
            make_layer("InputLayer", bad)
        assert caught.value.argument == next(iter(bad))
    assert make_layer("InputLayer", {"dtype": "uint8"}).dtype == "uint8"


def test_classes_that_there_are_not():
    with pytest.raises(
        LayerError, match=r"class_name: no such layer: got 'Conv2D', expected one of .*; did you mean 'Con"
    ):
        make_layer("Conv2D", {})
    for name in ("conv3d", "Lambda", ""):
        with pytest.raises(LayerError, match="no such layer") as caught:
            make_layer(name, {})
        assert caught.value.argument == "class_name"
