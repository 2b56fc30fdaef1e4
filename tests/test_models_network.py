"""Models to networks: rows run whole with the numbers of Keras, everything else is told by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conv3d_cli.errors import LayerError, SpecError
from conv3d_cli.models import read_model
from conv3d_cli.models.clean import cleaned, dtype_of, plain
from conv3d_cli.models.network import build_network
from conv3d_cli.weights import assign, read_weights

HERE = Path(__file__).parent / "recorded" / "models"
RECORDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.json"))}
FILES = [
    pytest.param(release, name, HERE / release / file, id=f"{release}-{file}")
    for release, record in RECORDS.items()
    for name, model in record["models"].items()
    for file in model["files"]
    if "weights" not in file
]
ROWS = [file for file in FILES if file.values[1] != "unet"]
RUNS = [
    pytest.param(release, name, path, source, id=f"{release}-{path.name}-by-{source.name}")
    for release, name, path in (file.values for file in ROWS)
    for source in sorted((HERE / release).glob(f"{name}*"))
    if source.suffix != ".json"
]
LAYERS = {
    "row": [
        *(("pad", "ZeroPadding3D"), ("first", "Conv3D"), ("drop", "Dropout"), ("middle", "Conv3D")),
        *(("hard", "Activation"), ("slopes", "PReLU"), ("crop", "Cropping3D"), ("last", "Conv3D")),
    ],
    "nested": [
        *(("before", "Conv3D"), ("encoder/conv_a", "Conv3D"), ("encoder/drop", "SpatialDropout3D")),
        *(("encoder/conv_b", "Conv3D"), ("leaky", "LeakyReLU"), ("decoder/into", "Conv3D")),
        *(("decoder/inner/conv", "Conv3D"), ("decoder/inner/relu", "ReLU"), ("decoder/out", "Conv3D")),
    ],
}


def network_of(path):
    return build_network(read_model(str(path)))


def refusal(model):
    with pytest.raises(SpecError) as error:
        build_network(model)
    assert all(line.isprintable() and repr(model.path) in line for line in error.value.problems)
    return str(error.value)


def layer(name, class_name="Conv3D", after=None, **config):
    config = {"filters": 1, "kernel_size": 1, **config} if class_name == "Conv3D" else config
    nodes = [[[one, 0, 0, {}] for one in after]] if after else []
    return {"class_name": class_name, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}


def image():
    return layer("image", "InputLayer", batch_input_shape=[None, None, None, None, 1])


@pytest.fixture
def written(tmp_path):
    def write(layers, ends=None, version="2.4.0"):
        config = {"name": "m", "layers": layers}
        if ends:
            config |= {key: [[name, 0, 0] for name in names] for key, names in ends.items()}
        kind = "Functional" if ends else "Sequential"
        path = tmp_path / "model.json"
        path.write_text(json.dumps({"class_name": kind, "config": config, "keras_version": version}))
        return read_model(str(path))

    return write


@pytest.mark.parametrize(("release", "name", "path"), ROWS)
def test_a_row_of_layers_becomes_a_network(release, name, path):
    layers = [(one.name, one.class_name) for one in network_of(path)]
    assert [one for one in layers if one[1] != "InputLayer"] == LAYERS[name]
    assert all("/" not in one for one, kind in layers if kind == "InputLayer")


@pytest.mark.parametrize(("release", "name", "path"), ROWS)
def test_layers_speak_the_dialect_of_their_file(release, name, path):
    assert {one.keras for one in network_of(path)} == {int(RECORDS[release]["versions"]["keras"][0])}


@pytest.mark.parametrize(("release", "name", "path", "source"), RUNS)
def test_networks_return_what_keras_returned(release, name, path, source):
    model = RECORDS[release]["models"][name]
    x = np.random.default_rng(model["input"]["seed"]).standard_normal(model["input"]["shape"]).astype(np.float32)
    network = network_of(path)
    assign(network, read_weights(str(source)), x.shape)
    with np.load(HERE / f"{release}.npz") as arrays:
        expected = arrays[name]
    ours = network(x)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_the_dialects_differ_where_keras_changed():
    results = []
    for release in ("keras212", "keras315"):
        network = network_of(HERE / release / "row.keras")
        results.append(network["hard"](np.full((1, 1, 1, 1, 1), 1.0, np.float32)).item())
    assert results == [pytest.approx(0.7), pytest.approx(2 / 3)]


@pytest.mark.parametrize(("release", "name", "path"), [file for file in FILES if file.values[1] == "unet"])
def test_a_net_of_branches_names_everything_in_the_way(release, name, path):
    model = read_model(str(path))
    message = refusal(model)
    supported = {"Conv3D", "ReLU", "Dropout", "InputLayer", "Sequential"}
    for entry in model.entries:
        assert (repr(entry.path) in message and entry.class_name in message) or entry.class_name in supported
    assert "'shared' (Conv3D) is used 2 times" in message
    assert "the output of 'act' (ReLU) is taken 2 times" in message
    assert message.count("\n") == 0
    assert message.endswith(f"one layer can be taken out: conv3d weights convert {path} --layer down -o down.npz")


def test_the_order_is_that_of_the_connections(written):
    layers = [layer("c", after=["b"]), layer("a", after=["image"]), image(), layer("b", after=["a"])]
    model = written(layers, {"input_layers": ["image"], "output_layers": ["c"]})
    assert [one.name for one in build_network(model)] == ["image", "a", "b", "c"]


def test_a_nested_model_is_known_by_the_name_in_its_connections(written):
    inner = {"class_name": "Sequential", "config": {"layers": [layer("a")]}, "name": "in"}
    inner["inbound_nodes"] = [[["image", 0, 0, {}]]]
    model = written([image(), inner], {"input_layers": ["image"], "output_layers": ["in"]})
    assert [one.name for one in build_network(model)] == ["image", "in/a"]


ENDS = {"input_layers": ["image"], "output_layers": ["b"]}
TWO_OUT, TWO_IN, NONE_IN = {"output_layers": ["a", "b"]}, {"input_layers": ["image", "b"]}, {"input_layers": []}
CHAIN = [image(), layer("a", after=["image"]), layer("b", after=["a"])]
JOINED = [image(), layer("a", after=["image"]), layer("b", "Add", after=["a", "image"])]
NOT_IN_A_ROW = {
    "two outputs": (CHAIN, ENDS | TWO_OUT, "2 outputs: 'a', 'b'"),
    "two inputs": (CHAIN, ENDS | TWO_IN, "2 inputs: 'image', 'b'"),
    "no input": (CHAIN, ENDS | NONE_IN, "0 inputs: none"),
    "a dead end": ([*CHAIN, layer("z")], ENDS, "'z' not between"),
    "not joined": ([image(), layer("b")], ENDS, "no row of layers"),
    "in a circle": ([image(), layer("a", after=["b"]), layer("b", after=["a"])], ENDS, "no row of layers"),
    "joined": (JOINED, ENDS, "'b' (Add) takes 2 inputs: 'a', 'image'"),
    "an operation": ([image(), layer("b", "TFOpLambda", after=["image"])], ENDS, "'b' (TFOpLambda) is not supported"),
}


@pytest.mark.parametrize(("layers", "ends", "words"), NOT_IN_A_ROW.values(), ids=NOT_IN_A_ROW)
def test_what_is_not_in_a_row_is_told(written, layers, ends, words):
    assert words in refusal(written(layers, ends))


@pytest.mark.parametrize(
    ("options", "runs"),
    [
        ({}, True),
        ({"training": False}, True),
        ({"training": None}, True),
        ({"training": True}, False),
        ({"x": 1}, False),
    ],
)
def test_options_of_a_call_that_change_the_output(written, options, runs):
    drop = layer("b", "Dropout", after=["image"], rate=0.5)
    drop["inbound_nodes"][0][0][3] = options
    model = written([image(), drop], ENDS)
    if runs:
        assert len(build_network(model)) == 2
    else:
        assert "'b' (Dropout) is called with" in refusal(model)


@pytest.mark.parametrize(
    "class_name",
    ["Lambda", "BatchNormalization", "MaxPooling3D", "Conv3DTranspose", "Concatenate", "MyLayer", "pkg>Mine"],
)
def test_other_layers_are_named_and_nothing_of_them_is_run(written, class_name):
    message = refusal(written([layer("a"), layer("b", class_name), layer("c", class_name)]))
    assert f"'b', 'c' ({class_name}) are not supported" in message
    assert "--layer a -o a.npz" in message


def test_a_class_that_somebody_registered_under_a_known_name_is_not_keras(written):
    theirs = {**layer("b"), "registered_name": "pkg>Conv3D", "module": "pkg"}
    message = refusal(written([layer("a"), theirs]))
    assert "'b' (Conv3D) is not supported" in message


def test_names_in_the_command_are_quoted_for_the_shell(written):
    message = refusal(written([layer("it's; rm"), layer("b", "Add")]))
    assert """--layer 'it'"'"'s; rm' -o 'it'"'"'s; rm.npz'""" in message


def test_a_wrapper_is_named(written):
    message = refusal(written([layer("td", "TimeDistributed", layer=layer("a"))]))
    assert "'td' (TimeDistributed) is not supported" in message
    assert "--layer td/a -o a.npz" in message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"filters": 0}, "filters: below 1"),
        ({"colour": 3}, "colour"),
        ({"lora_rank": 4}, "lora_rank: not supported: got 4"),
        ({"dtype": "bfloat16"}, "dtype: not supported: got 'bfloat16'"),
        ({"dtype": {"class_name": "QuantizedDTypePolicy", "config": {"name": "int8_from_float32"}}}, "Quantized"),
        ({"activation": {"class_name": "function", "registered_name": "mine>f", "config": "f"}}, "activation"),
    ],
)
def test_arguments_that_are_refused_name_their_layer(written, config, words):
    message = refusal(written([layer("a"), layer("b", **config)]))
    assert "layer 'b' (Conv3D): " in message
    assert words in message


def test_every_layer_with_a_problem_gets_its_line(written):
    model = written([layer("a", filters=0), layer("b", strides=0)])
    with pytest.raises(SpecError) as error:
        build_network(model)
    assert len(error.value.problems) == 2


def test_an_unknown_key_beside_the_config_is_refused(written):
    assert "'quantum'" in refusal(written([{**layer("a"), "quantum": 1}]))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("class_name", ["Policy", "DTypePolicy"])
def test_mixed_precision_is_float32_with_a_note(written, policy, class_name):
    dtype = {"class_name": class_name, "config": {"name": policy}}
    model = written([layer("a", dtype=dtype), layer("b", dtype=dtype), layer("c", dtype="float32")])
    assert {one.dtype for one in build_network(model)} == {"float32"}
    assert model.notes == [f"policy {policy!r} is computed in float32"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes_are_taken(written, dtype):
    model = written([layer("a", dtype=dtype), layer("b", dtype={"class_name": "Policy", "config": {"name": dtype}})])
    assert [one.dtype for one in build_network(model)] == [dtype, dtype]
    assert model.notes == []


def test_dtypes_by_themselves():
    assert dtype_of(None) == (None, "")
    for value in (
        "int8",
        3,
        [1],
        {"class_name": "Policy", "config": {"name": [1]}},
        {"class_name": "Policy"},
        {"class_name": "Other", "config": {"name": "float32"}},
    ):
        with pytest.raises(LayerError, match="dtype: not supported"):
            dtype_of(value)


def test_plain_values():
    shared = {"class_name": "Zeros", "config": {}, "shared_object_id": 12}
    array = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}
    shape = {"class_name": "TensorShape", "items": [None, 3]}
    assert plain([shared, array, shape]) == [{"class_name": "Zeros", "config": {}}, [1.0, 2.0], [None, 3]]
    assert cleaned("InputLayer", {"dtype": "uint8", "sparse": False, "name": "x"}) == ({"name": "x"}, "")


def test_a_sparse_input_is_refused(written):
    with pytest.raises(SpecError, match="sparse: not supported"):
        build_network(
            written([layer("i", "InputLayer", batch_input_shape=[None, 1, 1, 1, 1], sparse=True), layer("a")])
        )
