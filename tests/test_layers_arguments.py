"""Every argument of Conv3D: what is accepted, its canonical form, the words of its errors, and its schema."""

from __future__ import annotations

import inspect
import json

import jsonschema
import numpy as np
import pytest
from schemas import validator

from conv3d_cli.errors import LayerError, UnknownArgument
from conv3d_cli.layers import Conv3D, Convolution3D
from conv3d_cli.layers.arguments import ARGUMENTS, CONV3D, RULES

BASE = {"filters": 2, "kernel_size": 3}

WHOLE = "expected a whole number of at least 1"
THREE = "expected a whole number of at least 1, or three of them"
SHAPE = "each a whole number of at least 1 or None"

# Argument, value, and the whole message.
MOST = ", at most 2147483647"
PADDING = "expected 'valid' or 'same', or with dialect torch zeros on each side"
FLOATS = "expected one of float16, float32, float64"
AROUND = "expected one of zero, reflect, mirror, nearest, wrap, constant:V"

REFUSED = [
    ("filters", 0, f"filters: below 1: got 0, {WHOLE}"),
    ("filters", -3, f"filters: below 1: got -3, {WHOLE}"),
    ("filters", 2.0, f"filters: not a whole number: got 2.0, {WHOLE}"),
    ("filters", True, f"filters: not a whole number: got True, {WHOLE}"),
    ("filters", "8", f"filters: not a whole number: got '8', {WHOLE}"),
    ("filters", None, f"filters: not a whole number: got None, {WHOLE}"),
    ("filters", [8], f"filters: not a whole number: got [8], {WHOLE}"),
    ("filters", 2**31, f"filters: above 2147483647: got 2147483648, {WHOLE}{MOST}"),
    ("kernel_size", 1.5, f"kernel_size: not a whole number: got 1.5, {THREE}"),
    ("kernel_size", [3, 3], f"kernel_size: has 2 values: got [3, 3], {THREE}"),
    ("kernel_size", [3], f"kernel_size: has 1 value: got [3], {THREE}"),
    ("kernel_size", [], f"kernel_size: has 0 values: got [], {THREE}"),
    ("kernel_size", (3, 0, 3), f"kernel_size: below 1: got (3, 0, 3), {THREE}"),
    ("kernel_size", (3, 1.5, 3), f"kernel_size: not a whole number: got (3, 1.5, 3), {THREE}"),
    ("kernel_size", "333", f"kernel_size: not a whole number: got '333', {THREE}"),
    ("kernel_size", {3, 4, 5}, f"kernel_size: not a whole number: got {{3, 4, 5}}, {THREE}"),
    ("kernel_size", np.ones(3), f"kernel_size: not a whole number: got array([1., 1., 1.]), {THREE}"),
    ("kernel_size", 10**30, f"kernel_size: above 2147483647: got 1{'0' * 30}, {THREE}{MOST}"),
    ("strides", 0, f"strides: below 1: got 0, {THREE}"),
    ("strides", [1, 2, 3, 4], f"strides: has 4 values: got [1, 2, 3, 4], {THREE}"),
    ("strides", (1, 2, 2**62), f"strides: above 2147483647: got (1, 2, {2**62}), {THREE}{MOST}"),
    ("dilation_rate", 2**62, f"dilation_rate: above 2147483647: got {2**62}, {THREE}{MOST}"),
    ("dilation_rate", -1, f"dilation_rate: below 1: got -1, {THREE}"),
    ("dilation_rate", None, f"dilation_rate: not a whole number: got None, {THREE}"),
    ("padding", "causal", f"padding: 'causal' is for Conv1D only: got 'causal', {PADDING}"),
    ("padding", "full", f"padding: unknown: got 'full', {PADDING}"),
    ("padding", None, f"padding: not a word: got None, {PADDING}"),
    ("padding", False, f"padding: not a word: got False, {PADDING}"),
    ("padding", ["same"], f"padding: has 1 value: got ['same'], {PADDING}"),
    ("padding", [1, 1, -1], f"padding: below 0: got [1, 1, -1], {PADDING}"),
    ("padding", [1, 1, (1, 1, 1)], f"padding: has a pair of 3 values: got [1, 1, (1, 1, 1)], {PADDING}"),
    ("padding", [1, 1, (0, 2**31)], f"padding: above 2147483647: got [1, 1, (0, 2147483648)], {PADDING}{MOST}"),
    ("padding", [1, 1, 0.5], f"padding: not a whole number: got [1, 1, 0.5], {PADDING}"),
    ("dialect", "Torch", "dialect: unknown: got 'Torch', expected 'keras' or 'torch'"),
    ("flip", 1, "flip: not a truth value: got 1, expected true or false"),
    ("boundary", None, f"boundary: not a word: got None, {AROUND}"),
    ("boundary", "edge", f"boundary: unknown: got 'edge', {AROUND}"),
    (
        "boundary",
        "constant:x",
        "boundary: no number after 'constant:': got 'constant:x', expected one as in constant:3.5",
    ),
    (
        "data_format",
        "NCDHW",
        "data_format: unknown: got 'NCDHW', expected 'channels_last' or 'channels_first'",
    ),
    ("data_format", 1, "data_format: not a word: got 1, expected 'channels_last' or 'channels_first'"),
    ("groups", 2**31, f"groups: above 2147483647: got 2147483648, {WHOLE}{MOST}"),
    ("groups", 0, f"groups: below 1: got 0, {WHOLE}"),
    ("use_bias", 1, "use_bias: not a truth value: got 1, expected true or false"),
    ("use_bias", "no", "use_bias: not a truth value: got 'no', expected true or false"),
    ("trainable", None, "trainable: not a truth value: got None, expected true or false"),
    ("dtype", "bfloat16", f"dtype: not supported: got 'bfloat16', {FLOATS}"),
    ("dtype", np.longdouble, f"dtype: not supported: got <class 'numpy.longdouble'>, {FLOATS}"),
    ("dtype", "float", "dtype: not supported: got 'float', expected one of float16, float32, float64"),
    ("dtype", float, "dtype: not supported: got <class 'float'>, expected one of float16, float32, float64"),
    ("dtype", np.dtype(int), "dtype: not supported: got dtype('int64'), expected one of float16, float32, float64"),
    ("name", "", "name: not a name: got '', expected a printable text that is not empty, or None for the class's name"),
    (
        "name",
        "a\nb",
        r"name: not a name: got 'a\nb', expected a printable text that is not empty, or None for the class's name",
    ),
    ("name", 3, "name: not a name: got 3, expected a printable text that is not empty, or None for the class's name"),
    (
        "input_shape",
        (5, 5, 5),
        f"input_shape: has 3 values: got (5, 5, 5), expected at least 4 sizes, those of one input "
        f"with its channels, {SHAPE}, or None for not given",
    ),
    (
        "batch_input_shape",
        5,
        "batch_input_shape: not a list of sizes: got 5, expected at least 5 sizes, those of the batch, "
        f"of the input and of its channels, {SHAPE}, or None for not given",
    ),
    *[
        (name, 0.1, f"{name}: not a regularizer: got 0.1, expected a name or a mapping with class_name and config")
        for name in ["kernel_regularizer", "bias_regularizer", "activity_regularizer"]
    ],
    *[
        (name, 0.1, f"{name}: not a constraint: got 0.1, expected a name or a mapping with class_name and config")
        for name in ["kernel_constraint", "bias_constraint"]
    ],
]


@pytest.mark.parametrize(("argument", "value", "message"), REFUSED, ids=lambda v: str(v)[:30])
def test_refused_values(argument, value, message):
    with pytest.raises(LayerError) as caught:
        Conv3D(**{**BASE, argument: value})
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)
    assert caught.value.argument == argument
    assert [str(p) for p in CONV3D.problems({**BASE, argument: value})] == [message]


def test_every_argument_has_a_refused_value():
    refused = {argument for argument, _, _ in REFUSED}
    elsewhere = {"activation", "kernel_initializer", "bias_initializer"}
    assert refused | elsewhere == set(ARGUMENTS)


RULES_BROKEN = [
    (
        {"kernel_size": (2, 3, 3), "dilation_rate": (2**31 - 2, 2**30 - 1, 2**30)},
        "dilation_rate",
        "dilation_rate: spreads the kernel too far along an axis: got (2147483646, 1073741823, 1073741824) with "
        "kernel_size (2, 3, 3), expected at most 2147483647 voxels",
    ),
    (
        {"boundary": "wrap"},
        "boundary",
        "boundary: nothing around the volume is read with padding 'valid': got 'wrap', expected padding 'same' or "
        "voxels on each side",
    ),
    ({"padding": 1}, "padding", f"padding: not a word: got ((1, 1), (1, 1), (1, 1)), {PADDING}"),
    (
        {"padding": "same", "dialect": "torch", "strides": (1, 1, 2)},
        "padding",
        "padding: 'same' needs strides of 1 in PyTorch: got strides (1, 1, 2), expected 1, or zeros on each side",
    ),
    (
        {"kernel_constraint": "radial_constraint"},
        "kernel_constraint",
        "kernel_constraint: RadialConstraint cannot take this array: got 5 axes, expected the 4 of a kernel of Conv2D",
    ),
    (
        {"bias_constraint": {"class_name": "MaxNorm", "config": {"axis": 1}}},
        "bias_constraint",
        "bias_constraint: MaxNorm: axis: not axes of this array: got 1, expected different ones of -1 to 0",
    ),
    (
        {"strides": 2, "dilation_rate": 2},
        "strides",
        "strides: above 1 not supported in conjunction with dilation_rate above 1: "
        "got strides (2, 2, 2) and dilation_rate (2, 2, 2), expected one of them to be 1",
    ),
    (
        {"strides": (1, 1, 2), "dilation_rate": (3, 1, 1)},
        "strides",
        "strides: above 1 not supported in conjunction with dilation_rate above 1: "
        "got strides (1, 1, 2) and dilation_rate (3, 1, 1), expected one of them to be 1",
    ),
    (
        {"filters": 4, "groups": 3},
        "groups",
        "groups: do not divide the filters: got 3 groups and 4 filters, expected a divisor of 4",
    ),
    (
        {"kernel_initializer": "identity"},
        "kernel_initializer",
        "kernel_initializer: Identity cannot make this array: got 5 axes, expected a matrix (2 axes) only",
    ),
    (
        {"bias_initializer": "orthogonal"},
        "bias_initializer",
        "bias_initializer: Orthogonal cannot make this array: got 1 axes, expected an array of at least 2 axes",
    ),
    (
        {"input_shape": (5, 5, 5, 1), "batch_input_shape": (None, 5, 5, 5, 2)},
        "input_shape",
        "input_shape: not the end of batch_input_shape: got (5, 5, 5, 1), expected the end of (None, 5, 5, 5, 2)",
    ),
]


ORTHOGONAL = {"kernel_regularizer": 5, "bias_regularizer": 1, "activity_regularizer": 5}


@pytest.mark.parametrize(("argument", "axes"), ORTHOGONAL.items())
def test_a_regularizer_of_matrices_is_refused_before_anything_runs(argument, axes):
    with pytest.raises(LayerError) as caught:
        Conv3D(**BASE, keras=3, **{argument: "orthogonal_regularizer"})
    assert str(caught.value) == (
        f"{argument}: OrthogonalRegularizer cannot take this array: got {axes} axes, expected a matrix (2 axes)"
    )
    assert caught.value.argument == argument


@pytest.mark.parametrize(("change", "argument", "message"), RULES_BROKEN, ids=lambda v: str(v)[:30])
def test_rules_between_arguments(change, argument, message):
    with pytest.raises(LayerError) as caught:
        Conv3D(**{**BASE, **change})
    assert str(caught.value) == message
    assert caught.value.argument == argument


def test_every_rule_is_broken_once():
    assert {argument for _, argument, _ in RULES_BROKEN} | set(ORTHOGONAL) == {names[0] for names in RULES}


def test_a_bias_that_there_is_not_needs_no_initializer():
    assert not Conv3D(2, 3, bias_initializer="orthogonal", use_bias=False).use_bias


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "kernal_size",
            r"^'kernal_size': Conv3D has no argument of this name; did you mean 'kernel_size'\?$",
        ),
        (
            "zzz",
            r"^'zzz': Conv3D has no argument of this name; its arguments are filters, kernel_size, .*shape$",
        ),
    ],
)
def test_unknown_arguments(given, words):
    with pytest.raises(UnknownArgument, match=words) as caught:
        Conv3D(2, 3, **{given: 3})
    assert isinstance(caught.value, TypeError)
    assert caught.value.argument == given
    with pytest.raises(UnknownArgument, match=words):
        Conv3D.from_config({**BASE, given: 3})


def test_every_problem_at_once():
    found = CONV3D.problems({"filters": 0, "strides": "x", "padding": "full", "pading": "same", 3: 4, "groups": 0})
    assert [p.argument for p in found] == [
        "pading",
        "3",
        "filters",
        "kernel_size",
        "strides",
        "padding",
        "groups",
    ]
    assert str(found[3]) == "kernel_size: is missing, expected voxels of the kernel along each axis"
    with pytest.raises(LayerError, match="kernel_size: is missing"):
        Conv3D.from_config({"filters": 2})


def test_only_known_dialects():
    assert CONV3D.problems(BASE, keras=2) == CONV3D.problems(BASE, keras=3) == []
    assert [str(p) for p in CONV3D.problems(BASE, keras=4)] == ["keras: unknown dialect: got 4, expected 2 or 3"]


@pytest.mark.parametrize(
    "value", [3, np.int8(3), [3, 3, 3], (3, 3, 3), np.array([3, 3, 3]), np.array(3), np.uint8([3, 3, 3])]
)
def test_forms_of_a_triple(value):
    layer = Conv3D(np.int64(2), value, strides=value)
    assert layer.kernel_size == layer.strides == (3, 3, 3)
    assert [type(n) for n in (*layer.kernel_size, layer.filters)] == [int] * 4


def test_words_in_any_case():
    layer = Conv3D(2, 3, padding="SAME", data_format="Channels_First")
    assert (layer.padding, layer.data_format) == ("same", "channels_first")


@pytest.mark.parametrize("value", ["float64", np.float64, np.dtype("float64"), np.dtype(">f8")])
def test_forms_of_a_dtype(value):
    assert Conv3D(2, 3, dtype=value).dtype == "float64"
    assert Conv3D(2, 3).dtype == "float32"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "channels_last"),
        ('{"image_data_format": "channels_first"}', "channels_first"),
        ('{"floatx": "float32"}', "channels_last"),
        ("not json", "channels_last"),
        ("[]", "channels_last"),
    ],
)
@pytest.mark.parametrize("by_home", [True, False])
def test_data_format_of_keras_json(text, expected, by_home, tmp_path, monkeypatch):
    folder = tmp_path / ".keras"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", "" if by_home else str(folder))
    if text is not None:
        (folder / "keras.json").write_text(text)
    assert Conv3D(2, 3).data_format == expected
    assert Conv3D(2, 3, data_format="channels_last").data_format == "channels_last"


def test_wrong_data_format_in_keras_json(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"image_data_format": "first"}')
    with pytest.raises(
        LayerError, match=r"unknown image_data_format in '.*keras.json': got 'first', expected channels_last"
    ):
        Conv3D(2, 3)


def test_signature_is_that_of_the_table():
    signature = inspect.signature(Conv3D)
    explicit = [name for name, p in signature.parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert explicit == list(ARGUMENTS)[: len(explicit)]
    assert explicit[-1] == "bias_constraint"
    for name in explicit:
        if not ARGUMENTS[name].required:
            assert signature.parameters[name].default == ARGUMENTS[name].default
    assert Convolution3D is Conv3D


def schema_of_a_layer():
    properties = {name: argument.schema for name, argument in ARGUMENTS.items()}
    required = [name for name, argument in ARGUMENTS.items() if argument.required]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return json.loads(json.dumps(schema))


def test_schema_accepts_what_is_accepted():
    schema = validator(schema_of_a_layer())
    for config in [
        BASE,
        {**BASE, "padding": "SAME", "strides": [1, 2, 1], "activation": None, "data_format": None},
        {**BASE, "activation": {"class_name": "LeakyReLU", "config": {"alpha": 0.1}}, "name": "a"},
        {**BASE, "kernel_initializer": {"class_name": "constant", "config": {"value": [1, 2]}}},
    ]:
        schema.validate(config)
        assert CONV3D.problems(config) == []
    for layer in (
        Conv3D(2, 3),
        Conv3D(2, 3, input_shape=(None, 5, 5, 1), activation="gelu", dtype="float64"),
    ):
        schema.validate(json.loads(json.dumps(layer.get_config())))


def has_a_schema(value):
    """Whether a value can be written as JSON, and a schema can know it: not what is printable, not 2.0 from 2."""
    return isinstance(value, (int, str, list, tuple, dict, type(None))) and value != "a\nb"


@pytest.mark.parametrize(("argument", "value"), [row[:2] for row in REFUSED if has_a_schema(row[1])], ids=str)
def test_schema_refuses_what_is_refused(argument, value):
    config = json.loads(json.dumps({**BASE, argument: value}))
    with pytest.raises(jsonschema.ValidationError):
        validator(schema_of_a_layer()).validate(config)


def test_normalised_keeps_the_right_values():
    values, found = CONV3D.normalised({"filters": 4, "kernel_size": 0, "padding": "Same"}, 2)
    assert len(found) == 1
    assert values["filters"] == 4
    assert values["padding"] == "same"
    assert "kernel_size" not in values
