"""Weights out of models with layers that this program does not know, and out of those that were never called."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.weights import assign, read_weights, take

KERNEL = np.arange(2.0, dtype=np.float32).reshape(1, 1, 1, 1, 2)


def legacy(path, layers, groups):
    """Write a legacy model file: a Sequential of layers, and the weights of its groups by their full names."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in groups]
        for name, weights in groups.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, array in weights.items():
                group[weight] = array
    return str(path)


def test_layers_inside_a_layer_do_not_hide_the_others(tmp_path):
    """The names are those that TensorFlow 2.4.4 gives the weights of a MultiHeadAttention."""
    head = {"name": "head", "filters": 2, "kernel_size": [1, 1, 1], "use_bias": False}
    attention = {"class_name": "MultiHeadAttention", "config": {"name": "mha"}}
    inside = {f"mha/{part}/{w}:0": np.ones((2, 2)) for part in ("query", "key", "value") for w in ("kernel", "bias")}
    path = legacy(
        tmp_path / "m.h5",
        [attention, {"class_name": "Conv3D", "config": head}],
        {"mha": inside, "head": {"head/kernel:0": KERNEL}},
    )
    taken = take(read_weights(path))
    assert list(taken.arrays) == ["head"]
    np.testing.assert_array_equal(taken.arrays["head"]["kernel"], KERNEL)
    assert "mha/query" in taken.notes[0]


def test_a_layer_that_is_an_attribute_goes_by_its_shape(tmp_path):
    """Keras 3 stores the layers of a custom class under the names of its attributes."""
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/block/conv1/vars/0"] = KERNEL
        file["layers/block/conv1/vars/1"] = np.zeros(2, np.float32)
    [layer] = take(read_weights(str(tmp_path / "m.weights.h5"))).arrays.values()
    assert list(layer) == ["kernel", "bias"]


def prelu(**initializer):
    activation = {"class_name": "PReLU", "config": {"shared_axes": [1, 2, 3], "alpha_initializer": initializer}}
    return Network([Conv3D(2, 1, name="a", use_bias=False, activation=activation)])


def test_a_slope_that_was_never_made_is_that_of_its_initializer(tmp_path):
    np.savez(tmp_path / "w.npz", **{"a/kernel": KERNEL})
    network = prelu(class_name="Constant", config={"value": 0.25})
    notes = assign(network, read_weights(str(tmp_path / "w.npz")), 1)
    assert notes == ["a/alpha is not in the file, as before a first call: its initializer's values are taken"]
    assert (network["a"].variables["alpha"] == 0.25).all()


def test_a_slope_that_would_be_drawn_is_missing(tmp_path):
    np.savez(tmp_path / "w.npz", **{"a/kernel": KERNEL})
    with pytest.raises(ValueError, match="a/alpha is missing"):
        assign(prelu(class_name="RandomNormal", config={}), read_weights(str(tmp_path / "w.npz")), 1)


@pytest.mark.parametrize(
    ("shape", "told"), [((2, 2, 1, 1, 1), True), ((3, 2, 1, 1, 1), False), ((1, 1, 3, 3, 3), False)]
)
def test_a_kernel_that_may_be_transposed_is_told_of(tmp_path, shape, told):
    np.savez(tmp_path / "w.npz", **{"up.weight": np.ones(shape, np.float32)})
    notes = take(read_weights(str(tmp_path / "w.npz")), layout="torch").notes
    assert any("transposed" in note and "'up'" in note for note in notes) == told
