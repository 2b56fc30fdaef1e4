"""A PReLU that is the activation of a Conv3D: one more weight of that layer, a layer inside it in Keras's files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from conv3d_cli.layers import Conv3D, Network, make_layer
from conv3d_cli.weights import assign, read_weights, take, to_torch, write_arrays, write_weights

ACTIVATION = {"class_name": "PReLU", "config": {"shared_axes": [1, 2, 3], "alpha_initializer": "ones"}}


def network():
    """A network whose first layer has kernel, bias and alpha, the second alpha alone."""
    slopes = {"name": "slopes", "shared_axes": [1, 2, 3]}
    return Network([Conv3D(2, 3, name="a", activation=ACTIVATION), make_layer("PReLU", slopes), Conv3D(1, 1, name="b")])


@pytest.fixture
def built():
    made = network()
    made.build(1)
    for layer in made:
        layer.set_weights([np.arange(w.size).reshape(w.shape) + 0.5 for w in layer.weights])
    return made


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".weights.h5", ".safetensors"])
def test_the_weights_come_back(tmp_path, built, suffix):
    path = str(tmp_path / f"w{suffix}")
    write_weights(path, built)
    back = network()
    assert assign(back, read_weights(path), (1, 4, 4, 4, 1)) == []
    for old, new in zip(built, back, strict=True):
        assert list(old.variables) == list(new.variables)
        for name, array in old.variables.items():
            np.testing.assert_array_equal(array, new.variables[name])


def test_keras_3_has_the_activation_as_a_layer_inside(tmp_path, built):
    """The places are those that Keras 3.15.1 wrote for the same layers once they were called."""
    path = tmp_path / "w.weights.h5"
    write_weights(str(path), built)
    with h5py.File(path) as file:
        assert file["layers/conv3d/vars"].attrs["name"] == "a"
        assert list(file["layers/conv3d/vars"]) == ["0", "1"]
        np.testing.assert_array_equal(file["layers/conv3d/activation/vars/0"][()], built["a"].variables["alpha"])
        assert list(file["layers/p_re_lu/vars"]) == ["0"]


@pytest.mark.parametrize("scope", ["", "sequential/"])
@pytest.mark.parametrize("mark", ["", ":0"])
def test_legacy_files_have_it_under_the_name_of_the_activation(tmp_path, built, scope, mark):
    """Keras 2.4.4 writes ``a/p_re_lu/alpha:0``, Keras 3.15.1 ``sequential/a/p_re_lu/alpha``."""
    path = tmp_path / "w.h5"
    inside = {"alpha": "/p_re_lu"}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in built]
        for layer in built:
            group = file.create_group(layer.name)
            own = inside if "kernel" in layer.variables else {}
            names = {n: f"{scope}{layer.name}{own.get(n, '')}/{n}{mark}" for n in layer.variables}
            group.attrs["weight_names"] = [name.encode() for name in names.values()]
            for weight, name in names.items():
                group[name] = layer.variables[weight]
    back = network()
    assert assign(back, read_weights(str(path)), 1) == []
    for name in ("a", "slopes"):
        np.testing.assert_array_equal(back[name].variables["alpha"], built[name].variables["alpha"])


def test_a_layer_is_taken_out_with_its_activation(tmp_path, built):
    path = str(tmp_path / "w.weights.h5")
    write_weights(path, built)
    assert list(take(read_weights(path), "a").arrays["a"]) == ["kernel", "bias", "alpha"]
    torch = to_torch(take(read_weights(path)).arrays)
    assert set(torch) == {"a.weight", "a.bias", "a.activation.weight", "slopes.weight", "b.weight", "b.bias"}
    assert torch["a.activation.weight"].shape == (2,)


def test_pytorch_s_names_there_and_back(tmp_path, built):
    path = str(tmp_path / "w.safetensors")
    write_arrays(path, to_torch(take(_written(tmp_path, built)).arrays), layout="torch")
    back = take(read_weights(path)).arrays
    assert set(back) == {"a", "slopes", "b"}
    for layer in built:
        for name, array in layer.variables.items():
            np.testing.assert_array_equal(back[layer.name][name], array)


def _written(tmp_path, network):
    path = str(tmp_path / "w.npz")
    write_weights(path, network)
    return read_weights(path)
