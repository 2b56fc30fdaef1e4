"""Model files that three releases of Keras wrote: every layer is found, with its place in them."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from conv3d_cli.errors import SpecError
from conv3d_cli.models import legacy_owners, read_model
from conv3d_cli.models.calls import UnreadableError, calls, tensors
from conv3d_cli.models.storage import Counted, has_weights, segments, snake_case

HERE = Path(__file__).parent / "recorded" / "models"
RECORDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.json"))}
FILES = [
    pytest.param(release, name, HERE / release / file, id=f"{release}-{file}")
    for release, record in RECORDS.items()
    for name, model in record["models"].items()
    for file in model["files"]
]
MODELS = [file for file in FILES if "weights" not in file.values[2].name]
STORES = [file for file in FILES if file.values[2].name.endswith((".keras", ".weights.h5"))]
LEGACY = [file for file in FILES if file.values[2].name in ("row.h5", "nested.h5", "unet.h5", "row_weights.h5")]

PATHS = {
    "row": ["pad", "first", "drop", "middle", "hard", "slopes", "crop", "last"],
    "nested": [
        *("before", "encoder/conv_a", "encoder/drop", "encoder/conv_b", "leaky"),
        *("decoder/into", "decoder/inner/conv", "decoder/inner/relu", "decoder/out"),
    ],
}
CONVOLUTIONS = {
    "row": ["first", "middle", "last"],
    "nested": ["before", "encoder/conv_a", "encoder/conv_b", "decoder/into", "decoder/inner/conv", "decoder/out"],
    "unet": ["down", "block/conv", "shared", "again", "head"],
}


def model_of(release, name):
    """The model of the same release that has a configuration."""
    return next(read_model(str(file.values[2])) for file in MODELS if file.values[:2] == (release, name))


def opened(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
    return h5py.File(path, "r")


def recorded(release, name, layer):
    with np.load(HERE / f"{release}.npz") as arrays:
        keys = [key for key in arrays.files if key.startswith(f"{name}/{layer}/")]
        return [arrays[key] for key in keys]


def text(name):
    return name.decode() if isinstance(name, bytes) else name


@pytest.mark.parametrize(("release", "name", "path"), MODELS)
def test_the_layers_of_a_model_are_those_that_keras_counts(release, name, path):
    model = read_model(str(path))
    top = [(m.name, m.class_name) for m in model.root.members]
    layers = [(layer, kind) for layer, kind, _ in RECORDS[release]["models"][name]["layers"]]
    # Keras 2 and 3 both hide the InputLayer of a Sequential, and an operation of Keras 3 is no layer.
    hidden = [one for one in top if one not in layers]
    assert [one for one in top if one in layers] == layers
    assert all(kind == "InputLayer" or (kind in ("Multiply", "Add") and name == "unet") for _, kind in hidden)
    assert not hidden or release == "keras315" or name == "row"


@pytest.mark.parametrize(("release", "name", "path"), MODELS)
def test_version_and_dialect_are_known(release, name, path):
    model = read_model(str(path))
    version = RECORDS[release]["versions"]["keras"]
    assert model.keras == int(version[0])
    assert model.version == ("" if release == "keras315" and path.suffix == ".json" else version.removesuffix("-tf"))
    assert model.form == {".keras": "keras", ".h5": "hdf5", ".json": "json"}[path.suffix]
    assert all(entry.keras == model.keras and entry.own and not entry.extra for entry in model.entries)
    assert len(model.sha256) == 64


@pytest.mark.parametrize(("release", "name", "path"), MODELS)
def test_paths_name_the_models_around_a_layer(release, name, path):
    entries = [entry for entry in read_model(str(path)).entries if entry.class_name != "InputLayer"]
    assert [e.path for e in entries if e.class_name == "Conv3D"] == CONVOLUTIONS[name]
    assert name not in PATHS or [e.path for e in entries] == PATHS[name]
    assert all(e.group == e.path.split("/")[0] and e.name == e.path.split("/")[-1] for e in entries)


@pytest.mark.parametrize(("release", "name", "path"), STORES)
def test_every_stored_layer_is_where_the_configuration_puts_it(release, name, path):
    model = model_of(release, name)
    way = 0 if release == "keras315" else 1
    with opened(path) as file:
        held = set()
        file.visititems(
            lambda key, thing: held.add(key.rpartition("/")[0]) if isinstance(thing, h5py.Dataset) else None
        )
        places = {
            entry.storage[way]: entry for entry in model.entries if entry.storage and has_weights(entry.class_name)
        }
        assert set(places) == held
        for entry in model.entries:
            assert not entry.storage or entry.storage[way] in file
            assert not entry.storage or file[entry.storage[way]].attrs.get("name", entry.name) == entry.name
        for place, entry in places.items():
            if entry.class_name == "Conv3D":
                size, filters = entry.config["kernel_size"], entry.config["filters"]
                assert file[place]["0"].shape[:3] == tuple(size)
                assert file[place]["0"].shape[-1] == filters
            if "/" not in entry.path:
                stored = [file[place][key][()] for key in sorted(file[place], key=int)]
                for ours, keras in zip(stored, recorded(release, name, entry.name), strict=True):
                    np.testing.assert_array_equal(ours, keras)


@pytest.mark.parametrize(("release", "name", "path"), LEGACY)
def test_every_weight_of_a_legacy_file_has_its_layer(release, name, path):
    model = model_of(release, name)
    kinds = {entry.path: entry for entry in model.entries}
    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        found = set()
        for group in map(text, root.attrs["layer_names"]):
            names = [text(weight) for weight in root[group].attrs["weight_names"]]
            owned = legacy_owners(model.entries, group, names)
            assert "" not in owned
            for owner, weights in owned.items():
                found |= {owner} if weights else set()
                if kinds[owner].class_name == "Conv3D":
                    kernel = next(root[group][weight] for weight in weights if "kernel" in weight)
                    assert kernel.shape[-1] == kinds[owner].config["filters"]
    assert found == {entry.path for entry in model.entries if has_weights(entry.class_name)}


def test_a_weight_that_fits_no_layer_or_two_has_no_owner():
    entries = model_of("keras24", "nested").entries
    assert legacy_owners(entries, "encoder", ["conv_z/kernel:0", "conv_a/bias:0"]) == {
        "": ["conv_z/kernel:0"],
        "encoder/conv_a": ["conv_a/bias:0"],
    }
    assert legacy_owners(entries, "encoder", ["kernel:0"]) == {"": ["kernel:0"]}
    alike = [replace(entry, path=f"encoder/{model}/conv") for entry, model in zip(entries, "xy", strict=False)]
    alike = [replace(entry, class_name="Conv3D", group="encoder") for entry in alike]
    assert legacy_owners(alike, "encoder", ["conv/bias", "y/conv/bias"]) == {
        "": ["conv/bias"],
        "encoder/y/conv": ["y/conv/bias"],
    }


def test_a_layer_alone_in_its_group_owns_what_its_weights_were_once_called():
    entries = model_of("keras24", "row").entries
    assert legacy_owners(entries, "first", ["renamed/kernel:0"]) == {"first": ["renamed/kernel:0"]}


@pytest.mark.parametrize(("release", "name"), [(r, "unet") for r in RECORDS])
def test_connections_are_read_in_both_dialects(release, name):
    members = {member.name: member for member in model_of(release, name).root.members}
    assert [call.inputs[0][0] for call in members["shared"].calls] == ["block", "pool"]
    assert [name for name, _, _ in members["join"].calls[0].inputs] == ["up", "act"]
    assert [name for name, _, _ in members["sum"].calls[0].inputs] == ["shared", "shared"]


def test_numbers_have_gaps_where_layers_with_weights_count_twice():
    layers = [("Conv3D", True), ("ReLU", False), ("Conv3D", True), ("Add", False), ("ReLU", False), ("Conv3D", True)]
    new, old = zip(*segments([Counted(*layer) for layer in layers]), strict=True)
    assert [name.split("/")[1] for name in new] == ["conv3d", "re_lu", "conv3d_1", "add", "re_lu_1", "conv3d_2"]
    assert [name.split("/")[1] for name in old] == ["conv3d", "re_lu", "conv3d_2", "add", "re_lu_1", "conv3d_4"]


def test_what_is_no_layer_does_not_count():
    assert segments([Counted("Add", False, counts=False), Counted("Add", False)])[0] == ()
    assert segments([Counted("Add", False, counts=False), Counted("Add", False)])[1][0] == "layers/add"


def test_snake_case_of_a_registered_class():
    assert snake_case("my_package>MyBlock3D") == "my_block3d"


def test_a_model_without_weights_counts_once(tmp_path):
    models = [sequential({"class_name": "ReLU", "config": {"name": "r"}}, name="x"), sequential(layer(), name="y")]
    path = tmp_path / "model.json"
    path.write_text(json.dumps(sequential(*models, sequential(layer(), name="z"))))
    folder = "_layer_checkpoint_dependencies"
    places = [entry.storage[1].removeprefix(f"{folder}/").split("/")[0] for entry in read_model(str(path)).entries]
    assert places == ["sequential", "sequential_1", "sequential_3"]


def test_the_input_of_a_sequential_is_stored_nowhere():
    entries = model_of("keras315", "row").entries
    assert [entry.class_name for entry in entries if not entry.storage] == ["InputLayer"]


def test_a_layer_in_a_wrapper_is_found(tmp_path):
    inner = {"class_name": "Conv3D", "config": {"name": "conv", "filters": 1, "kernel_size": 1}}
    layers = [{"class_name": "TimeDistributed", "config": {"name": "td", "layer": inner}}]
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"class_name": "Sequential", "config": {"name": "a", "layers": layers}}))
    model = read_model(str(path))
    [entry] = model.entries
    assert (entry.path, entry.group) == ("td/conv", "td")
    folder = "_layer_checkpoint_dependencies"
    assert entry.storage == ("layers/time_distributed/layer/vars", f"{folder}/time_distributed/layer/vars")
    assert model.root.members[0].wrapper


def test_options_and_inputs_of_calls():
    assert calls([[["a", 0, 0, {"y": ["b", 1, 0], "name": None}]]])[0].inputs == (("a", 0, 0), ("b", 1, 0))
    assert calls([[["a", 0, 0, {"training": True, "mask": None}]]])[0].options == {"training": True}
    assert calls([{"args": [], "kwargs": {"training": False}}])[0].options == {"training": False}
    assert tensors({"x": ["a", 0, 0], "y": [["b", 0, 1]]}) == (("a", 0, 0), ("b", 0, 1))


@pytest.mark.parametrize(
    "nodes", ["text", [3], [[["a"]]], [{"args": 1}], [{"args": [{"class_name": "__keras_tensor__"}]}]]
)
def test_connections_that_no_dialect_writes(nodes):
    with pytest.raises(UnreadableError, match="expected"):
        calls(nodes)


def layer(name="a", **more):
    return {"class_name": "Conv3D", "config": {"name": name, "filters": 1, "kernel_size": 1}, **more}


def sequential(*layers, **more):
    return {"class_name": "Sequential", "config": {"layers": list(layers), **more}}


def functional(*layers, **more):
    return {"class_name": "Model", "config": {"layers": list(layers), **more}}


SENSELESS = {
    "no class": ([], "no Keras model"),
    "no config": ({"class_name": "Sequential"}, "lists no layers"),
    "own class": ({"class_name": "MyNet", "config": {"name": "x"}}, "in code"),
    "no layers": (sequential(), "empty"),
    "no name": (sequential(layer(name=None)), "no name"),
    "name twice": (sequential(layer(), layer()), "two layers named 'a'"),
    "two names": (sequential({**layer(), "name": "b"}), "two names"),
    "a number": (sequential(3), "without class_name"),
    "config a number": (sequential({"class_name": "A", "config": 1}), "no config"),
    "config a list": (sequential({"class_name": "Conv3D", "config": [], "name": "a"}), "no config"),
    "to nobody": (functional(layer(inbound_nodes=[[["zz", 0, 0]]])), "'zz'"),
    "no end": (functional(layer(), input_layers=[["q", 0, 0]]), "input_layers names 'q'"),
    "bad end": (
        functional(layer(), output_layers=[{"class_name": "__keras_tensor__"}]),
        "output_layers cannot be read",
    ),
    "bad nodes": (functional(layer(inbound_nodes=7)), "inbound_nodes cannot be read"),
    "same path": (sequential(layer("b/a"), sequential(layer(), name="b")), "two layers are at 'b/a'"),
}


@pytest.mark.parametrize(("written", "words"), SENSELESS.values(), ids=SENSELESS)
def test_a_model_that_makes_no_sense_is_refused_in_one_line(tmp_path, written, words):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(written))
    with pytest.raises(SpecError) as error:
        read_model(str(path))
    assert words in str(error.value)
    assert str(error.value).startswith(repr(str(path)))
    assert "\n" not in str(error.value)
