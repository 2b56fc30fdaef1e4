"""Layers in a row: names, shapes, weights, and what does not fit together."""

from __future__ import annotations

import numpy as np
import pytest

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers import Conv3D, Network, make_layer


def test_names():
    network = Network([Conv3D(1, 1), Conv3D(1, 1, name="conv3d_1"), Conv3D(1, 1), Conv3D(1, 1, name="x"), Conv3D(1, 1)])
    assert [layer.name for layer in network] == ["conv3d", "conv3d_1", "conv3d_2", "x", "conv3d_3"]
    assert network["conv3d_2"] is network[2]
    assert len(network) == 5
    taken = Network([Conv3D(1, 1), Conv3D(1, 1, name="conv3d")])
    assert [layer.name for layer in taken] == ["conv3d_1", "conv3d"]


def test_unknown_name():
    with pytest.raises(KeyError, match=r"no layer 'conv', there are conv3d; did you mean 'conv3d'\?"):
        Network([Conv3D(1, 1)])["conv"]


def test_layers_one_after_the_other():
    network = Network(
        [
            Conv3D(4, 3, activation="relu"),
            Conv3D(2, (1, 2, 3), strides=2, groups=2),
            Conv3D(3, 1, padding="same"),
        ]
    )
    x = np.random.RandomState(0).standard_normal((2, 2, 9, 9, 9, 3))
    assert not network.built
    y = network(x)
    assert network.built
    want = x
    for layer in network:
        want = layer(want)
    np.testing.assert_array_equal(y, want)
    assert y.shape == network.compute_output_shape(x.shape) == (2, 2, 4, 3, 3, 3)
    assert network.count_params() == (27 * 3 * 4 + 4) + (6 * 2 * 2 + 2) + (2 * 3 + 3)
    assert network.data_format == "channels_last"


@pytest.mark.parametrize("given", [3, (1, 9, 9, 9, 3), None])
def test_build(given):
    network = Network([Conv3D(4, 3, input_shape=(9, 9, 9, 3)), Conv3D(2, 3)])
    network.build(given, seed=1)
    assert [layer.channels for layer in network] == [3, 4]


def test_a_shape_that_fails_later_computes_nothing():
    network = Network([Conv3D(4, 3), Conv3D(2, 9, name="late")])
    with pytest.raises(ShapeError, match=r"^layer 'late': kernel larger than the input"):
        network(np.zeros((1, 5, 5, 5, 1)))
    assert not network.built


def late_built():
    layer = Conv3D(2, 3, name="b")
    layer.build(3)
    return layer


def test_one_layer_twice():
    layer = Conv3D(1, 1)
    with pytest.raises(LayerError, match="the same layer stands twice"):
        Network([layer, layer])


@pytest.mark.parametrize(
    ("layers", "kind", "words"),
    [
        (list, LayerError, "layers: none: got an empty list, expected at least one layer"),
        (
            lambda: [Conv3D(1, 1, name="a"), Conv3D(1, 1, name="a")],
            LayerError,
            "name: given twice: got 'a', expected a name for each layer",
        ),
        (
            lambda: [
                Conv3D(1, 1, name="a", data_format="channels_last"),
                Conv3D(1, 1, data_format="channels_first"),
            ],
            LayerError,
            "data_format: mixed: got channels_last for 'a' and channels_first for 'conv3d', expected one for all",
        ),
        (
            lambda: [Conv3D(3, 1, name="a"), Conv3D(2, 1, name="b", groups=2)],
            ShapeError,
            "'b' do not divide the channels that 'a' makes: got 2 groups and 3 channels, expected a divisor of 3",
        ),
        (
            lambda: [Conv3D(2, 1, name="a"), Conv3D(2, 1, name="b", input_shape=(5, 5, 5, 4))],
            ShapeError,
            "filters: of 'a' do not match the channels that 'b' takes: got 2, expected 4",
        ),
        (
            lambda: [Conv3D(2, 1, name="a"), late_built()],
            ShapeError,
            "channels that 'b' takes: got 2, expected 3",
        ),
    ],
)
def test_refused(layers, kind, words):
    with pytest.raises(kind) as caught:
        Network(layers())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def layer(name, /, keras=2, **config):
    return make_layer(name, config, keras)


def test_names_of_layers_of_other_classes():
    network = Network(
        [layer("ReLU"), layer("ReLU"), Conv3D(1, 1), layer("ReLU", name="re_lu_1"), layer("ZeroPadding3D")]
    )
    assert [one.name for one in network] == ["re_lu", "re_lu_2", "conv3d", "re_lu_1", "zero_padding3d"]
    with pytest.raises(LayerError, match="name: given twice: got 'conv3d'"):
        Network([Conv3D(1, 1, name="conv3d"), layer("Dropout", rate=0.5, name="conv3d")])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_pass_through_other_layers(data_format):
    axis = -1 if data_format == "channels_last" else -4
    glu = layer("Activation", 3, activation={"class_name": "glu", "config": {"axis": axis}})
    between = [
        layer("ZeroPadding3D", padding=2, data_format=data_format),
        glu,
        layer("Cropping3D", cropping=1, data_format=data_format),
        layer("Dropout", rate=0.5),
    ]
    placed = {"data_format": data_format}
    network = Network([Conv3D(6, 1, **placed), *between, Conv3D(3, 1, groups=3, **placed)])
    shape = (2, 5, 5, 5, 2) if axis == -1 else (2, 2, 5, 5, 5)
    y = network(np.ones(shape))
    assert network[-1].channels == 3
    assert y.shape == network.compute_output_shape(shape) == ((2, 7, 7, 7, 3) if axis == -1 else (2, 3, 7, 7, 7))
    assert network.built
    assert network.weight_shapes(2).keys() == {"conv3d", "conv3d_1"}
    assert network.count_params() == 6 * 2 + 6 + 3 + 3
    words = r"groups: of 'conv3d_1' do not divide the channels that 'conv3d' makes: got 4 groups and 3 channels"
    with pytest.raises(ShapeError, match=words):
        Network([Conv3D(6, 1, **placed), *between, Conv3D(4, 1, groups=4, **placed)])


def test_formats_of_layers_of_other_classes():
    first = {"data_format": "channels_first"}
    row = [layer("ReLU"), layer("ZeroPadding3D", **first), layer("SpatialDropout3D", rate=0.5), Conv3D(1, 1, **first)]
    assert Network(row).data_format == "channels_first"
    assert Network(row[:1]).data_format == "channels_last"
    words = "data_format: mixed: got channels_first for 'zero_padding3d' and channels_last for 'cropping3d'"
    with pytest.raises(LayerError, match=words):
        Network([layer("ReLU"), layer("ZeroPadding3D", **first), layer("Cropping3D")])


def test_losses_and_projections_of_all_layers():
    prelu = layer("PReLU", shared_axes=[1, 2, 3], alpha_regularizer="l2", alpha_constraint="non_neg")
    network = Network([Conv3D(2, 1, kernel_regularizer="l1", kernel_constraint="non_neg"), prelu])
    assert network.losses == []
    network.build((1, 2, 2, 2, 1))
    network[0].set_weights([[[[[[-1, 2]]]]], [0, 0]])
    network[1].set_weights([[[[[-3, 1]]]]])
    assert network.losses == pytest.approx([0.03, 0.1])
    network.project()
    np.testing.assert_array_equal(network[0].kernel.ravel(), [0, 2])
    np.testing.assert_array_equal(network[1].get_weights()[0].ravel(), [0, 1])
