"""What goes wrong in the frameworks is right here, and what they refuse works: one test each, held to the oracle.

The bugs were seen in Keras 3.15 on TensorFlow 2.21, those of oneDNN in TensorFlow on a CPU.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from layerchecks import assert_layer_close
from recorded import cases
from recorded import cases_layers as more

from conv3d_cli.layers import Conv3D
from conv3d_cli.layers.activations import Activation

FOLDER = Path(__file__).parent / "recorded"
LAYERS = json.loads((FOLDER / "layers.json").read_text())
DIALECTS = (2, 3)


def built(shape, seed=1, **config):
    """Return a layer with a kernel and a bias of random numbers, built for a shape."""
    layer = Conv3D(**{"filters": 4, "kernel_size": 3, "padding": "same", **config})
    layer.build(shape)
    layer.set_weights(cases.draw(seed, [w.shape for w in layer.weights], "float64"))
    return layer


def check(layer, x):
    y = layer(x)
    assert_layer_close(layer, x, y)
    return y


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("batch", [(1,), (4,), (2, 3)])
def test_the_bias_goes_along_the_filters_when_the_width_has_as_many_voxels(keras, batch):
    shape = (*batch, 2, 5, 6, 4)
    layer = built(shape, keras=keras, data_format="channels_first")
    y = check(layer, cases.draw(2, [shape], "float32")[0])
    layer.set_weights([np.zeros_like(layer.kernel), [0, 10, 20, 30]])
    bias = np.broadcast_to(np.array([0, 10, 20, 30], "f4")[:, None, None, None], y.shape)
    np.testing.assert_array_equal(layer(np.zeros(shape)), bias)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(2, 2, 2), (2, 5, 5), (5, 5, 2)])
def test_an_empty_output_has_its_own_shape_not_the_inputs(size, data_format):
    last = data_format == "channels_last"
    out = tuple(n - 2 for n in size)
    layer = Conv3D(4, 3, data_format=data_format, activation="relu")
    y = layer(np.ones((2, *size, 1) if last else (2, 1, *size), np.float32))
    assert y.shape == ((2, *out, 4) if last else (2, 4, *out))
    assert y.shape == layer.compute_output_shape((2, *size, 1) if last else (2, 1, *size))


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("activation", ["relu", {"class_name": "ReLU", "config": {"max_value": 6}}], ids=str)
def test_a_relu_keeps_nan_however_it_is_fused(keras, activation):
    shape = (1, 9, 9, 9, 8)
    layer = built(shape, filters=8, activation=activation, keras=keras)
    x = cases.draw(3, [shape], "float32")[0]
    x[0, 4, 5, 6, 2] = np.nan
    reached = np.zeros(shape[:-1], bool)
    reached[0, 3:6, 4:7, 5:8] = True
    np.testing.assert_array_equal(np.isnan(layer(x)), np.broadcast_to(reached[..., None], layer(x).shape))


def projected(row):
    """Return the nearest values that are not negative and have sum 1, by trying every number of values above zero."""
    order = np.sort(row)[::-1]
    found = []
    for count in range(1, len(row) + 1):
        shift = (order[:count].sum() - 1) / count
        values = np.maximum(row - shift, 0)
        if abs(values.sum() - 1) < 1e-9:
            found.append(values)
    return min(found, key=lambda values: np.square(values - row).sum())


def test_sparsemax_is_the_projection_on_the_simplex():
    x = cases.draw(4, [(60, 5)], "float64")[0] * np.linspace(0.1, 3, 60)[:, None]
    y = Activation.of("sparsemax", keras=3)(x)
    np.testing.assert_allclose(y, [projected(row) for row in x], rtol=0, atol=1e-12)
    assert (y.min(), (y == 0).any()) == (0, True)
    # What a layer of Keras 3.15 gave does not even have the sum 1.
    number = str(more.DIFFERENT.index("sparsemax"))
    with np.load(FOLDER / "layers.npz") as stored:
        theirs = stored[f"3/different/{number}"]
    assert (np.abs(theirs.sum(axis=-1) - 1) > 0.5).any()
    layer = Conv3D(4, 2, activation="sparsemax", keras=3)
    ours = layer(cases.draw(5, [more.DIFFERENT_SHAPE], "float32")[0])
    np.testing.assert_allclose(ours.sum(axis=-1), 1, rtol=1e-6)


# What the frameworks refuse on a CPU.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry", [{}, {"strides": 2}, {"dilation_rate": 2}], ids=str)
def test_channels_first_runs(geometry, dtype):
    shape = (2, 3, 7, 6, 5)
    first = built(shape, data_format="channels_first", dtype=dtype, **geometry)
    x = cases.draw(6, [shape], dtype)[0]
    y = check(first, x)
    last = built(np.moveaxis(x, 1, -1).shape, data_format="channels_last", dtype=dtype, **geometry)
    np.testing.assert_allclose(np.moveaxis(last(np.moveaxis(x, 1, -1)), -1, 1), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(("groups", "channels", "filters"), [(2, 4, 6), (3, 3, 3), (4, 8, 4)])
def test_groups_run(groups, channels, filters, data_format):
    shape = (2, 5, 6, 4, channels) if data_format == "channels_last" else (2, channels, 5, 6, 4)
    layer = built(shape, filters=filters, groups=groups, data_format=data_format)
    assert layer.kernel.shape == (3, 3, 3, channels // groups, filters)
    x = cases.draw(7, [shape], "float32")[0]
    y = check(layer, x)
    # A group is a layer of its own.
    axis = -1 if data_format == "channels_last" else 1
    parts = zip(
        np.split(x, groups, axis), np.split(layer.kernel, groups, -1), np.split(layer.bias, groups), strict=True
    )
    alone = []
    for part, kernel, bias in parts:
        one = built(part.shape, filters=filters // groups, data_format=data_format)
        one.set_weights([kernel, bias])
        alone.append(one(part))
    np.testing.assert_allclose(np.concatenate(alone, axis), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64", "bool"])
def test_integers_and_bool_are_taken(dtype):
    shape = (2, 6, 5, 4, 2)
    x = np.random.RandomState(8).randint(0, 200, shape).astype(dtype)
    layer = built(shape)
    np.testing.assert_array_equal(check(layer, x), layer(x.astype("float32")))
    refused = {row["dtype"] for half in ("2", "3") for row in LAYERS[half]["calls"] if "error" in row}
    assert {"int32", "bool"} <= refused


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keras", DIALECTS)
def test_extended_batches_run(keras, data_format):
    shape = (2, 3, 1, 5, 6, 4, 2) if data_format == "channels_last" else (2, 3, 1, 2, 5, 6, 4)
    layer = built(shape, data_format=data_format, keras=keras)
    x = cases.draw(9, [shape], "float32")[0]
    y = check(layer, x)
    assert y.shape == layer.compute_output_shape(shape)
    np.testing.assert_allclose(y[1, 2], layer(x[1, 2]), rtol=1e-4, atol=1e-5)


def test_outputs_without_voxels_are_no_error_in_either_dialect():
    refused = [row for row in LAYERS["3"]["errors"] if row["shape"] == [1, 4, 4, 4, 1] and "error" in row]
    assert {"kernel_size": 5} in [row["change"] for row in refused]
    for keras in DIALECTS:
        assert Conv3D(2, 5, keras=keras)(np.zeros((1, 4, 4, 4, 1))).shape == (1, 0, 0, 0, 2)
