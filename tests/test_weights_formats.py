"""Weights files of the frameworks: every layout is read with the right values, and written so that it is read again."""

from __future__ import annotations

import json
import struct
import sys
import zipfile

import h5py
import numpy as np
import pytest
from support import ROOT

from conv3d_cli.errors import UsageError, WeightsError
from conv3d_cli.layers import Conv3D, Network, make_layer
from conv3d_cli.models import read_model
from conv3d_cli.weights import assign, check, hdf5_holds, named_by, read_weights, take, write_arrays, write_weights

RECORDED = ROOT / "tests" / "recorded" / "weights"
#: The recorded model's arrays in Keras's order; number i counts up from i in steps of 1/16.
SHAPES = {
    "first/kernel": (1, 1, 1, 1, 3),
    "first/bias": (3,),
    "act/alpha": (1, 1, 1, 3),
    "norm/gamma": (3,),
    "norm/beta": (3,),
    "norm/moving_mean": (3,),
    "norm/moving_variance": (3,),
    "block/in_a/kernel": (1, 2, 3, 3, 2),
    "block/in_a/bias": (2,),
    "block/in_b/kernel": (1, 1, 1, 2, 2),
    "last/kernel": (2, 2, 2, 2, 1),
    "last/bias": (1,),
}
ARRAYS = {
    name: (np.arange(np.prod(shape), dtype=np.float32) / 16 + i).reshape(shape)
    for i, (name, shape) in enumerate(SHAPES.items())
}
OURS = {name: array for name, array in ARRAYS.items() if not name.startswith("norm")}
FORMATS = [".npz", ".h5", ".hdf5", ".weights.h5", ".safetensors"]


def row(**names):
    """Return two layers that differ in shape."""
    return Network([Conv3D(2, 3, name=names.get("a", "a")), Conv3D(3, 1, name=names.get("b", "b"), use_bias=False)])


def built(**names):
    network = row(**names)
    network.build(1, seed=5)
    return network


def legacy(path, layers, root="/", dtype=None):
    """Write the legacy layout: {group: {weight name: array}}."""
    with h5py.File(path, "w") as file:
        top = file.require_group(root)
        top.attrs["layer_names"] = np.array([name.encode() for name in layers]) if dtype is None else list(layers)
        for name, weights in layers.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = np.array([w.encode() for w in weights]) if weights else np.array([])
            for weight, array in weights.items():
                group[weight] = array
    return str(path)


def numbered(path, groups):
    """Write Keras 3's layout without names: {group: [arrays]}."""
    with h5py.File(path, "w") as file:
        for name, arrays in groups.items():
            for i, array in enumerate(arrays):
                file[f"{name}/vars/{i}"] = array
    return str(path)


def weights_of(network):
    a, b = network
    return a.kernel, a.bias, b.kernel


@pytest.mark.parametrize("path", sorted(RECORDED.iterdir()), ids=lambda path: path.name)
def test_files_that_keras_wrote(path):
    weights = read_weights(str(path))
    assert weights.named
    assert {name: header.shape for name, header in weights.headers.items()} == SHAPES
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(weights[name], expected)
    taken = take(weights)
    assert sorted(taken.flat()) == sorted(OURS)
    assert taken.notes == ["left out, neither Conv3D nor PReLU: 'norm'"]


@pytest.mark.parametrize("name", ["nested_2.12.keras", "nested_3.keras", "nested_2.4.h5"])
def test_layers_come_in_the_order_of_the_model(name):
    assert list(read_weights(str(RECORDED / name))) == list(SHAPES)


def test_a_file_that_only_numbers_gets_the_names_of_a_model(tmp_path):
    with zipfile.ZipFile(RECORDED / "nested_2.12.keras") as archive:
        (tmp_path / "w.weights.h5").write_bytes(archive.read("model.weights.h5"))
    weights = read_weights(str(tmp_path / "w.weights.h5"))
    assert not weights.named
    assert list(weights.layers)[:3] == ["batch_normalization", "conv3d", "conv3d_2"]
    entries = read_model(str(RECORDED / "nested_2.12.keras")).entries
    named = named_by(weights, entries)
    assert list(named) == list(SHAPES)
    np.testing.assert_array_equal(named["last/kernel"], ARRAYS["last/kernel"])
    # Without the model nobody can tell where the model inside stands.
    network = Network([Conv3D(3, 1), Conv3D(2, (1, 2, 3)), Conv3D(2, 1, use_bias=False), Conv3D(1, 2)])
    with pytest.raises(WeightsError, match="their order is not known"):
        check(network, weights, 1)


def test_a_model_that_does_not_have_the_places_leaves_the_numbers(tmp_path):
    path = numbered(tmp_path / "w.weights.h5", {"layers/conv3d_7": [np.zeros((1, 1, 1, 1, 1))]})
    weights = read_weights(path)
    assert named_by(weights, read_model(str(RECORDED / "nested_3.keras")).entries) is weights


def test_a_legacy_file_is_resolved_through_its_names(tmp_path):
    kernel, bias = np.ones((3, 3, 3, 1, 2), np.float32), np.zeros(2, np.float32)
    layers = {
        "input": {},
        "a": {"scope/a/kernel:0": kernel, "scope/a/bias:0": bias},
        "outer": {"in_1/kernel:0": kernel, "in_2/kernel:0": kernel + 1},
        "deep": {"x/deep/mid/in_1/kernel": kernel, "x/deep/mid/in_2/kernel": kernel},
    }
    for root in ("/", "/model_weights"):
        weights = read_weights(legacy(tmp_path / "w.h5", layers, root))
        assert list(weights) == [
            *("a/kernel", "a/bias", "outer/in_1/kernel", "outer/in_2/kernel"),
            *("deep/mid/in_1/kernel", "deep/mid/in_2/kernel"),
        ]
        assert weights["outer/in_2/kernel"][0, 0, 0, 0, 0] == 2


def test_models_between_are_known_from_the_configuration(tmp_path):
    def sequential(name, *layers):
        return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}

    conv = {"class_name": "Conv3D", "config": {"name": "in_a", "filters": 1, "kernel_size": 1}}
    other = {"class_name": "Conv3DTranspose", "config": {"name": "in_b", "filters": 1, "kernel_size": 1}}
    kernel = np.ones((1, 1, 1, 1, 1))
    layers = {"outer": {"in_a/kernel:0": kernel, "in_b/kernel:0": kernel}}
    path = legacy(tmp_path / "w.h5", layers, "/model_weights")
    assert list(take(read_weights(path)).flat()) == ["outer/in_a/kernel", "outer/in_b/kernel"]
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(sequential("all", sequential("outer", sequential("mid", conv), other)))
        file.attrs["keras_version"] = "2.4.0"
    taken = take(read_weights(path))
    assert list(taken.flat()) == ["outer/mid/in_a/kernel"]
    assert taken.notes == ["left out, neither Conv3D nor PReLU: 'outer/in_b'"]


def test_names_split_over_several_attributes(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for number, name in enumerate("ab"):
            file.attrs[f"layer_names{number}"] = np.array([name.encode()])
            file.create_group(name).attrs["weight_names"] = [f"{name}/kernel:0"]
            file[f"{name}/{name}/kernel:0"] = np.full((1, 1, 1, 1, 1), number)
    weights = read_weights(str(tmp_path / "w.h5"))
    assert list(weights) == ["a/kernel", "b/kernel"]
    assert weights["b/kernel"].item() == 1


def test_many_layers_are_written_over_several_attributes(tmp_path):
    names = [f"layer_with_a_long_name_{'x' * 100}_{i}" for i in range(700)]
    arrays = {f"{name}/kernel": np.full((1, 1, 1, 1, 1), i, np.float32) for i, name in enumerate(names)}
    path = str(tmp_path / "w.h5")
    write_arrays(path, arrays)
    with h5py.File(path) as file:
        assert "layer_names" not in file.attrs
    weights = read_weights(path)
    assert list(weights) == list(arrays)
    assert weights[f"{names[-1]}/kernel"].item() == 699


def test_numbers_are_sorted_by_value_and_gaps_do_no_harm(tmp_path):
    groups = {
        f"layers/conv3d{'_' * (i > 0)}{i or ''}": [np.full((1, 1, 1, 1, 1), i, np.float32)] for i in (0, 2, 10, 11)
    }
    weights = read_weights(numbered(tmp_path / "w.weights.h5", groups))
    assert not weights.named
    network = Network([Conv3D(1, 1, use_bias=False, name=name) for name in "pqrs"])
    assert assign(network, weights, 1) == []
    assert [layer.kernel.item() for layer in network] == [0, 2, 10, 11]


def test_variables_beyond_nine_are_in_order(tmp_path):
    weights = read_weights(numbered(tmp_path / "w.h5", {"layers/custom": [np.full(1, i) for i in range(12)]}))
    assert list(weights) == [f"custom/{i}" for i in range(12)]


def test_attributes_of_a_subclassed_model_are_names(tmp_path):
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file.create_group("vars")
        file["stem/vars/0"], file["stem/vars/1"] = np.zeros((1, 1, 1, 2, 3)), np.zeros(3)
    weights = read_weights(str(tmp_path / "w.weights.h5"))
    assert weights.named
    assert list(weights) == ["stem/kernel", "stem/bias"]


def test_bfloat16_of_keras_is_widened(tmp_path):
    exact = np.array([1.5, -3.0, 2.0**-126], np.float32)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        bits = (exact.view(np.uint32) >> 16).astype("<u2").view("V2")
        file.create_dataset("layers/dense/vars/0", data=bits).attrs["dtype"] = "bfloat16"
    weights = read_weights(str(tmp_path / "w.weights.h5"))
    assert weights.headers["dense/kernel"].dtype == np.float32
    np.testing.assert_array_equal(weights["dense/kernel"], exact)


def test_what_is_not_the_model_is_left_alone(tmp_path):
    path = numbered(
        tmp_path / "w.weights.h5", {"layers/conv3d": [np.zeros((1, 1, 1, 1, 1))], "optimizer": [np.zeros(3)]}
    )
    assert list(read_weights(path)) == ["conv3d/kernel"]
    path = legacy(tmp_path / "m.h5", {"a": {"a/kernel:0": np.zeros((1, 1, 1, 1, 1))}}, "/model_weights")
    with h5py.File(path, "a") as file:
        file["optimizer_weights/a"] = np.zeros(3)
    assert list(read_weights(path)) == ["a/kernel"]


def test_what_an_hdf5_file_is(tmp_path):
    def volume(name):
        with h5py.File(tmp_path / name, "w") as file:
            file["layers/data"] = np.zeros((3, 3, 3))
        return str(tmp_path / name)

    (tmp_path / "damaged.h5").write_bytes(b"x")
    found = {
        str(RECORDED / "nested_2.4.h5"): "model",
        str(RECORDED / "nested_2.4_weights.h5"): "weights",
        str(RECORDED / "nested_3.weights.h5"): "weights",
        volume("volume.h5"): "volume",
        str(tmp_path / "damaged.h5"): "volume",
        str(tmp_path / "absent.h5"): "volume",
    }
    assert {path: hdf5_holds(path) for path in found} == found


def test_a_keras_file_may_be_hdf5(tmp_path):
    path = legacy(tmp_path / "m.keras", {"a": {"a/kernel:0": np.ones((1, 1, 1, 1, 1))}}, "/model_weights")
    assert read_weights(path)["a/kernel"].item() == 1


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_is_read_again(tmp_path, suffix):
    path = str(tmp_path / f"w{suffix}")
    write_arrays(path, OURS)
    weights = read_weights(path)
    assert weights.layout == "keras"
    assert sorted(weights) == sorted(OURS)
    for name, array in OURS.items():
        np.testing.assert_array_equal(weights[name], array)
        assert weights[name].dtype == weights.headers[name].dtype == array.dtype


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_network_comes_back(tmp_path, suffix):
    path = str(tmp_path / f"w{suffix}")
    before, after = built(), row()
    write_weights(path, before)
    assert assign(after, read_weights(path), 1) == []
    for mine, other in zip(weights_of(before), weights_of(after), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(OSError, match="exists already"):
        write_weights(path, before)


@pytest.mark.parametrize("suffix", FORMATS)
def test_slopes_come_back_and_layers_without_weights_do_not_count(tmp_path, suffix):
    def layers():
        slopes = make_layer("PReLU", {"name": "p", "alpha_initializer": "ones", "shared_axes": [1, 2, 3]})
        return Network([make_layer("Dropout", {"rate": 0.5}), Conv3D(2, 1, name="a"), slopes])

    before, after = layers(), layers()
    before.build(1, seed=9)
    write_weights(str(tmp_path / f"w{suffix}"), before)
    assert assign(after, read_weights(str(tmp_path / f"w{suffix}")), 1) == []
    np.testing.assert_array_equal(after["p"].variables["alpha"], np.ones((1, 1, 1, 2)))
    np.testing.assert_array_equal(after["a"].kernel, before["a"].kernel)


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_layer_comes_back_under_any_name(tmp_path, suffix):
    network = Network([Conv3D(2, 3, name="edges")])
    network.build(1, seed=1)
    write_weights(str(tmp_path / f"w{suffix}"), network)
    other = Network([Conv3D(2, 3, name="else")])
    assign(other, read_weights(str(tmp_path / f"w{suffix}")), 1)
    np.testing.assert_array_equal(other["else"].kernel, network["edges"].kernel)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_same_weights_are_the_same_bytes(tmp_path, suffix):
    reverse = {name: np.asfortranarray(array.astype(array.dtype.newbyteorder(">"))) for name, array in OURS.items()}
    for number, arrays in enumerate((OURS, reverse)):
        write_arrays(str(tmp_path / f"{number}{suffix}"), arrays)
    assert (tmp_path / f"0{suffix}").read_bytes() == (tmp_path / f"1{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5"])
def test_unknown_names_go_by_order_and_are_told(tmp_path, suffix):
    path = str(tmp_path / f"w{suffix}")
    before, after = built(a="x", b="y"), row()
    write_weights(path, before)
    [note] = assign(after, read_weights(path), 1)
    assert "no layer has a name of the spec's: taken in order, a takes x, b takes y" in note
    np.testing.assert_array_equal(after["b"].kernel, before["y"].kernel)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_unknown_names_of_files_without_an_order_are_refused(tmp_path, suffix):
    path = str(tmp_path / f"w{suffix}")
    write_weights(path, built(a="x", b="y"))
    with pytest.raises(WeightsError, match="a/kernel is missing"):
        check(row(), read_weights(path), 1)


def test_order_is_not_gone_by_where_shapes_differ_or_a_name_is_known(tmp_path):
    write_weights(str(tmp_path / "1.h5"), built(a="x", b="y"))
    swapped = Network([Conv3D(3, 1, use_bias=False, name="p"), Conv3D(2, 3, name="q")])
    with pytest.raises(WeightsError, match="p/kernel is missing"):
        check(swapped, read_weights(str(tmp_path / "1.h5")), 1)
    write_weights(str(tmp_path / "2.h5"), built(a="a", b="y"))
    with pytest.raises(WeightsError, match="b/kernel is missing"):
        check(row(), read_weights(str(tmp_path / "2.h5")), 1)


def test_numbers_do_not_tell_where_a_model_inside_stands(tmp_path):
    alike = {name: np.ones((1, 1, 1, 1, 1), np.float32) for name in ("x/p/kernel", "y/kernel")}
    network = Network([Conv3D(1, 1, use_bias=False, name=name) for name in "ab"])
    write_arrays(str(tmp_path / "w.weights.h5"), alike)
    with pytest.raises(WeightsError, match="a/kernel is missing"):
        check(network, read_weights(str(tmp_path / "w.weights.h5")), 1)
    write_arrays(str(tmp_path / "w.h5"), alike)
    assert check(network, read_weights(str(tmp_path / "w.h5")), 1)["a"]["kernel"] == "x/p/kernel"


def test_two_places_of_one_layer_are_refused(tmp_path):
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for number, container in enumerate(("layers", "_layer_checkpoint_dependencies")):
            file[f"{container}/conv3d/vars/0"] = np.ones((1, 1, 1, 1, 3))
            file[f"{container}/conv3d/vars"].attrs["name"] = f"name_{number}"
    weights = read_weights(str(tmp_path / "w.weights.h5"))
    with pytest.raises(WeightsError, match="two groups of it have the weights of one layer"):
        named_by(weights, read_model(str(RECORDED / "nested_3.keras")).entries)


def test_written_hdf5_is_laid_out_as_keras_does_it(tmp_path):
    for suffix, recorded in ((".h5", "nested_2.4_weights.h5"), (".weights.h5", "nested_3.weights.h5")):
        write_arrays(str(tmp_path / f"w{suffix}"), OURS)
        with h5py.File(tmp_path / f"w{suffix}") as mine, h5py.File(RECORDED / recorded) as theirs:
            paths: list[str] = []
            mine.visit(paths.append)
            assert all(path in theirs for path in paths)
            arrays = [path for path in paths if isinstance(mine[path], h5py.Dataset)]
            assert len(arrays) == len(OURS)
            for path in arrays:
                np.testing.assert_array_equal(mine[path], theirs[path])
            for path in paths:
                for name, value in mine[path].attrs.items():
                    assert np.array_equal(theirs[path].attrs[name], value)


def test_a_layer_inside_is_found_by_its_own_name(tmp_path):
    arrays = {
        "block/a/kernel": np.ones((3, 3, 3, 1, 2)),
        "block/a/bias": np.ones(2),
        "b/kernel": np.ones((1, 1, 1, 2, 3)),
    }
    write_arrays(str(tmp_path / "w.h5"), arrays)
    assert check(row(), read_weights(str(tmp_path / "w.h5")), 1)["a"]["kernel"] == "block/a/kernel"


def test_numbered_layers_that_are_more_than_the_network_are_told(tmp_path):
    path = numbered(
        tmp_path / "w.weights.h5",
        {"layers/conv3d": [np.zeros((1, 1, 1, 1, 1))], "layers/conv3d_1": [np.zeros((1, 1, 1, 1, 1))]},
    )
    with pytest.raises(WeightsError, match=r"'conv3d/kernel' is left over"):
        check(Network([Conv3D(1, 1, use_bias=False, name="a")]), read_weights(path), 1)
    with pytest.raises(WeightsError, match=r"layer 'b': conv3d_1/kernel has the wrong shape"):
        check(
            Network([Conv3D(1, 1, use_bias=False, name="a"), Conv3D(1, 3, use_bias=False, name="b")]),
            read_weights(path),
            1,
        )


def test_without_the_package_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"pip install 'conv3d-cli\[safetensors\]'"):
        read_weights(str(tmp_path / "w.safetensors"))


def test_bfloat16_tensors_are_widened(tmp_path):
    exact = np.array([[1.5, -3.0]], np.float32)
    raw = (exact.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"a.weight": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + raw)
    weights = read_weights(str(tmp_path / "w.safetensors"))
    assert weights.headers["a.weight"].dtype == np.float32
    np.testing.assert_array_equal(weights["a.weight"], exact)
