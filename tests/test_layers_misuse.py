"""What a layer is told that it cannot use: an error of this package that names it, never one of Python's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers import LAYERS, Conv3D, Network, make_layer

PRELU = {"class_name": "PReLU", "config": {}}


def built():
    layer = Conv3D(2, 3)
    layer.build(1)
    return layer


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda: Conv3D(2, 3).build(2.0), "layer 'conv3d': input shape: not a shape: got 2.0"),
        (lambda: Conv3D(2, 3).build((1, 2, 3, 4, "a")), "layer 'conv3d': input shape: not a whole number: got"),
        (lambda: Conv3D(2, 3).compute_output_shape((1, 2.5, 8, 8, 1)), "input shape: not a whole number"),
        (lambda: Conv3D(2, 3).compute_output_shape((1, -2, 8, 8, 1)), "input shape: below 0"),
        (lambda: built().set_weights(3), "layer 'conv3d': weights: not a list: got 3"),
        (lambda: Conv3D.from_config([1]), "config: not a mapping: got [1]"),
        (lambda: make_layer("ReLU", {}).from_config(None), "config: not a mapping: got None"),
        (lambda: Network([Conv3D(1, 1)]).build(True), "channels: not a whole number: got True"),
        (lambda: Network([Conv3D(1, 1)]).build(0), "channels: below 1: got 0"),
        (lambda: make_layer("PReLU", {}).build(3), "layer 'p_re_lu': activation: PReLU: alpha: sizes are not known"),
        (lambda: Conv3D(2, 3, activation=PRELU).build(3), "layer 'conv3d': activation: PReLU: alpha: sizes are not"),
        (
            lambda: Conv3D(1, 1, kernel_initializer={"class_name": "Constant", "config": {"value": [1, 2]}}).build(3),
            "layer 'conv3d': kernel: Constant: value: wrong number of values: got 2",
        ),
        (
            lambda: Conv3D(1, 1, activation={"class_name": "softmax", "config": {"axis": 7}}).build((1, 5, 5, 5, 1)),
            "layer 'conv3d': activation: softmax: axis: not an axis of the output: got 7",
        ),
    ],
)
def test_misuse_is_named(misuse, message):
    with pytest.raises(LayerError) as caught:
        misuse()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_channels_that_an_input_layer_declares_are_held(data_format):
    declared = (None, 8, 8, 8, 2) if data_format == "channels_last" else (None, 2, 8, 8, 8)
    network = Network(
        [make_layer("InputLayer", {"batch_input_shape": declared}), Conv3D(1, 3, data_format=data_format)]
    )
    network.build()
    wrong = (1, 5, 6, 7, 3) if data_format == "channels_last" else (1, 3, 5, 6, 7)
    with pytest.raises(ShapeError, match=r"layer 'input_layer': wrong number of channels on axis -[14] of the input"):
        network(np.ones(wrong))
    right = (1, 5, 6, 7, 2) if data_format == "channels_last" else (1, 2, 5, 6, 7)
    assert network(np.ones(right)).size == 3 * 4 * 5, "other sizes than the declared ones are taken"


@pytest.mark.parametrize(
    ("name", "config"), [("ReLU", {}), ("Dropout", {"rate": 0.5}), ("Cropping3D", {"cropping": 0})]
)
def test_every_layer_may_be_charged_for_its_output(name, config):
    """Keras 3 writes the regularizer into the configuration of any layer that has one."""
    layer = make_layer(name, {**config, "activity_regularizer": {"class_name": "L1", "config": {"l1": 0.5}}}, 3)
    layer(np.full((2, 1, 1, 1, 3), 2.0))
    assert layer.losses == [0.5 * 12 / 2]
    again = make_layer(name, layer.get_config())
    assert "activity_regularizer" in layer.get_config()
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"Conv3D", "Convolution3D"}))
def test_layers_can_be_pickled(name):
    config = {"rate": 0.5} if "Dropout" in name else {"stddev": 1.0} if name == "GaussianNoise" else {}
    layer = make_layer(name, {"activation": "relu"} if name == "Activation" else config)
    assert pickle.loads(pickle.dumps(layer)).get_config() == layer.get_config()
