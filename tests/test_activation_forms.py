"""Every form in which an activation is given, what is refused, and what is written, held to what Keras writes."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from conv3d_cli.errors import LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers.activations import ACTIVATION_SCHEMA, TABLES, Activation, layer_parameters
from conv3d_cli.layers.initializers import Initializer

RECORDED = {k: json.loads((Path(__file__).parent / "recorded" / f"activations_{k}.json").read_text()) for k in (2, 3)}
POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
DIALECTS = (2, 3)
GIVEN = {"threshold": {"threshold": 0.5, "default_value": 0.25}}


def rows(keras):
    return [(keras, name) for name in TABLES[keras].rows]


def named(name, /, **config):
    return {"class_name": name, "config": config}


def exactly(value):
    """Return a text that tells 2 from 2.0."""
    return json.dumps(value, sort_keys=True)


def of(name, keras=2, /, **config):
    return Activation.of(named(name, **config), keras=keras)


@pytest.mark.parametrize("keras", DIALECTS)
def test_names_as_keras_writes_them(keras):
    for row in RECORDED[keras]["names"]:
        assert Activation.of(row["given"], keras=keras).written(keras) == row["written"]
    known = {row["given"] for row in RECORDED[keras]["names"]} - {None}
    table = TABLES[keras]
    assert known == {name for name in (*table.rows, *table.aliases) if table._row(name).alone}


@pytest.mark.parametrize("keras", DIALECTS)
def test_layers_as_keras_writes_them(keras):
    assert {row["class_name"] for row in RECORDED[keras]["objects"]} == {
        n for n in TABLES[keras].rows if n[0].isupper()
    }
    for row in RECORDED[keras]["objects"]:
        assert Activation.of(row["written"], keras=keras).written(keras) == row["written"]
        assert Activation.of(row["written"], keras=keras).written() == row["written"]
        assert json.loads(json.dumps(Activation.of(row["written"], keras=keras).written())) == row["written"]


@pytest.mark.parametrize("keras", DIALECTS)
def test_arguments_of_layers_mean_what_they_mean_to_keras(keras):
    for row in RECORDED[keras]["objects"]:
        given = {key: value for key, value in row["config"].items() if key != "input_shape"}
        ours = of(row["class_name"], keras, **given).written()
        theirs = row["written"]["config"]
        for key, value in ours["config"].items():
            # Keras counts the layers of the process.
            if key != "name" or key in given:
                assert exactly(value) == exactly(theirs[key])
        assert ours["class_name"] == row["class_name"]
        assert set(theirs) - set(ours["config"]) <= {"batch_input_shape"}


@pytest.mark.parametrize("keras", DIALECTS)
def test_what_keras_refuses(keras):
    for row in RECORDED[keras]["errors"]:
        assert row["type"] in ("ValueError", "TypeError")
        with pytest.raises(LayerError) as caught:
            Activation.of(row["given"], keras=keras)
        assert caught.value.argument == "activation"


@pytest.mark.parametrize("keras", DIALECTS)
@pytest.mark.parametrize("value", [None, "linear", Activation.of("linear"), named("function")])
def test_none_is_linear(value, keras):
    if isinstance(value, dict):
        value = {**value, "config": "linear"}
    assert Activation.of(value, keras=keras) == Activation("linear", {}, keras)
    assert Activation.of(value).axis is None


@pytest.mark.parametrize(("keras", "name"), rows(2) + rows(3))
def test_written_form_means_the_same(keras, name):
    activation = of(name, keras, **GIVEN.get(name, {}))
    again = Activation.of(activation.written(keras), keras=keras)
    assert again.written() == activation.written(keras)
    assert {key: again.config[key] for key in activation.config} == activation.config
    assert isinstance(activation.written(keras), str) == TABLES[keras].rows[name].alone
    assert Activation.of(activation, keras=keras) == activation


def test_written_form_keeps_arguments():
    assert of("relu", max_value=6).written() == {
        "class_name": "relu",
        "config": {"alpha": 0.0, "max_value": 6.0, "threshold": 0.0},
    }
    assert of("relu", 3, negative_slope=0.5).written() == {
        "module": "keras.activations",
        "class_name": "relu",
        "config": {"negative_slope": 0.5, "max_value": None, "threshold": 0.0},
        "registered_name": None,
    }


FORMS_3 = [
    {"module": "builtins", "class_name": "function", "config": "silu", "registered_name": "silu"},
    {"module": "builtins", "class_name": "function", "config": "swish", "registered_name": "function"},
    {"class_name": "function", "config": "silu"},
    {"module": "keras.activations", "class_name": "silu", "config": {}, "registered_name": None},
    {"class_name": "silu", "config": {}},
    {"class_name": "swish"},
    "silu",
    "swish",
]


@pytest.mark.parametrize("value", FORMS_3, ids=str)
def test_forms_of_keras_3(value):
    assert Activation.of(value, keras=3) == Activation("silu", {}, 3)


def test_a_layer_with_what_every_layer_has():
    given = {"name": "slope", "trainable": False, "batch_input_shape": (None, 4, 4, 4, 2), "dtype": "float32"}
    activation = of("LeakyReLU", alpha=0.25, **given)
    assert activation.written() == named(
        "LeakyReLU", **{**given, "batch_input_shape": [None, 4, 4, 4, 2], "alpha": 0.25}
    )
    np.testing.assert_array_equal(activation(np.array([-4.0, 4.0])), [-1, 4])
    built = {**named("ReLU", name="r", dtype=POLICY), "module": "keras.layers", "registered_name": None}
    built["build_config"] = {"input_shape": [1, 3, 3, 3, 2]}
    assert Activation.of(built, keras=3).written()["config"]["dtype"] == POLICY


def test_the_old_name_of_the_slope_in_keras_3():
    assert of("LeakyReLU", 3, alpha=0.1).config == {"negative_slope": 0.1}
    with pytest.raises(UnknownArgument, match=r"got 'alpha', expected negative_slope.*; alpha is of keras: 2"):
        of("relu", 3, alpha=0.1)
    with pytest.raises(UnknownArgument, match=r"got 'negative_slope', expected alpha.*; negative_slope is of keras: 3"):
        of("relu", 2, negative_slope=0.1)


def test_one_dialect_from_the_other():
    assert Activation.of(Activation.of("swish"), keras=3) == Activation.of("silu", keras=3)
    assert Activation.of("silu", keras=3).written(2) == "swish"
    assert Activation.of(of("relu", alpha=0.25), keras=3) == of("relu", 3, negative_slope=0.25)
    leaky = named("LeakyReLU", name="x", trainable=True, dtype="float32", alpha=float(np.float32(0.3)))
    assert of("LeakyReLU", 3, name="x", dtype=POLICY).written(2) == leaky
    assert of("PReLU", shared_axes=[1], alpha_regularizer="l2").written(3)["config"]["shared_axes"] == [1]
    with pytest.raises(LayerError, match="hard_sigmoid is another function with keras: 3: got that of keras: 2"):
        Activation.of(Activation.of("hard_sigmoid"), keras=3)
    with pytest.raises(LayerError, match="mish is of keras: 3: got 'mish'"):
        Activation.of("mish", keras=3).written(2)


def test_the_hard_sigmoid_of_each_dialect():
    x = np.array([-2.75, 1.0])
    np.testing.assert_allclose(Activation.of("hard_sigmoid")(x), [0, 0.7])
    np.testing.assert_allclose(Activation.of("hard_sigmoid", keras=3)(x), [0.25 / 6, 4 / 6])


def test_an_activation_within_the_layer_activation():
    for keras, name in ((2, "softmax"), (3, "glu")):
        outer, inner = of("Activation", keras, activation=name, name="a"), Activation.of(name, keras=keras)
        x = np.random.RandomState(0).standard_normal((2, 2, 2, 2, 4))
        np.testing.assert_array_equal(outer(x), inner(x))
        assert outer.output_shape(x.shape) == inner.output_shape(x.shape)
        assert (outer.axis, outer.keeps_shape, outer.mixed(5)) == (inner.axis, inner.keeps_shape, inner.mixed(5))
        assert outer.core == inner
        dtype = "float32" if keras == 2 else POLICY
        assert outer.written()["config"] == {"name": "a", "trainable": True, "dtype": dtype, "activation": name}
    prelu = of("Activation", activation=named("PReLU", shared_axes=[1, 2, 3]))
    assert prelu.weight_shapes((1, 5, 5, 5, 2)) == {"alpha": (1, 1, 1, 2)}
    assert prelu.initializers == {"alpha": Initializer.of("zeros")}
    with pytest.raises(LayerError, match=r"^activation: Activation: activation: unknown activation: got 'rellu'"):
        of("Activation", activation="rellu")


def my_function(x):
    return np.flip(x, axis=-1) * 2


@pytest.mark.parametrize("keras", DIALECTS)
def test_a_function_of_the_callers(keras):
    activation = Activation.of(my_function, keras=keras)
    assert activation.name == "my_function"
    assert activation.written(keras) == RECORDED[keras]["function"]
    assert Activation.of(activation, keras=5 - keras).written() == RECORDED[5 - keras]["function"]
    x = np.random.RandomState(0).standard_normal((2, 3, 4, 20, 1000)).astype(np.float32)
    np.testing.assert_array_equal(activation(x), 2 * x[..., ::-1])
    assert activation(x).dtype == x.dtype
    assert activation.output_shape((None, 1)) == (None, 1)
    want = my_function(x)
    assert activation(x, out=x) is x
    np.testing.assert_array_equal(x, want)


def test_functions_by_the_name_of_another():
    def relu(x):
        return x - 1

    activation = Activation.of(relu)
    np.testing.assert_array_equal(activation(np.zeros(3)), [-1, -1, -1])
    assert activation.written() == activation.written(3) == "relu"
    assert Activation.of(functools.partial(relu)).name == "partial"
    np.testing.assert_array_equal(Activation.of(np.tanh)(np.zeros((2, 2), np.float32)), np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["PReLU", "Activation", "glu", "linear", "softmax"])
def test_a_function_of_such_a_name_is_still_the_callers(name):
    def function(x):
        return x + 1

    function.__name__ = name
    activation = Activation.of(function)
    np.testing.assert_array_equal(activation(np.zeros((1, 3))), np.ones((1, 3)))
    assert activation.output_shape((1, 3)) == (1, 3)
    assert activation.weight_shapes((1, 3)) == activation.initializers == {}
    assert activation.mixed(2) == (0, 1)


def test_a_function_that_returns_something_else():
    for made in (lambda x: x[..., :1], lambda x: "text", lambda x: x + 1j, lambda x: None):
        with pytest.raises(ShapeError, match=r"^activation: <lambda>: wrong result: got .*, expected real numbers of "):
            Activation.of(made)(np.zeros((2, 3)))


def test_a_function_cannot_change_its_input():
    def change(x):
        x += 1
        return x

    with pytest.raises(ValueError, match="read-only"):
        Activation.of(change)(np.zeros(3))


PRELU = named("PReLU")
REFUSED = [
    (2, "rellu", LayerError, r"activation: unknown activation: got 'rellu', .*relu.*; did you mean 'relu'\?"),
    (2, "ReLU", LayerError, r"write it as \{class_name: ReLU, config: \{\}\}"),
    (2, "PReLU", LayerError, r"write it as \{class_name: PReLU, config: \{\}\}"),
    (2, "Relu", LayerError, r"unknown activation: got 'Relu'"),
    (3, "Relu", LayerError, r"unknown activation: got 'Relu'"),
    (2, "mish", LayerError, r"^activation: mish is of keras: 3: got 'mish', expected one of linear, .*swish"),
    (2, "hard_swish", LayerError, r"hard_swish is of keras: 3"),
    (2, {"class_name": "function", "config": "silu"}, LayerError, r"silu is of keras: 3"),
    (
        3,
        named("ThresholdedReLU"),
        LayerError,
        r"ThresholdedReLU is of keras: 2: got 'ThresholdedReLU', expected .*silu",
    ),
    (2, 3, LayerError, r"activation: not an activation: got 3, expected a name or a mapping"),
    (2, float, LayerError, r"not an activation"),
    (2, {"config": {}}, LayerError, r"not an activation"),
    (2, {"class_name": "relu", "config": 3}, LayerError, r"not an activation"),
    (2, {"class_name": "ReLU", "config": [1]}, LayerError, r"not an activation"),
    (2, {"class_name": ["ReLU"], "config": {}}, LayerError, r"not an activation"),
    (2, {"class_name": "relu", "config": {}, "x": 1}, LayerError, r"not an activation"),
    (3, {**named("relu"), "registered_name": "mine>relu"}, LayerError, r"not Keras's own: got 'mine>relu'"),
    (3, {"class_name": "function", "config": "mine>f"}, LayerError, r"unknown activation: got 'mine>f'"),
    (
        2,
        named("LeakyReLU", alfa=1),
        UnknownArgument,
        r"LeakyReLU has no argument of this name: got 'alfa', expected alpha; did you mean 'alpha'\?",
    ),
    (2, named("relu", name="r"), UnknownArgument, r"relu has no argument of this name: got 'name'"),
    (
        2,
        named("relu", alpha="x"),
        LayerError,
        r"activation: relu: alpha: not a number: got 'x', expected a finite number",
    ),
    (2, named("ReLU", max_value=-1), LayerError, r"max_value: below 0: got -1"),
    (2, named("ReLU", threshold=None), LayerError, r"threshold: not a number: got None"),
    (3, named("ReLU", threshold=-1), LayerError, r"threshold: below 0: got -1"),
    (3, named("LeakyReLU", negative_slope=-1), LayerError, r"negative_slope: below 0: got -1"),
    (3, named("celu", alpha=0), LayerError, r"alpha: not above 0: got 0"),
    (3, named("squareplus", b=-1), LayerError, r"b: below 0: got -1"),
    (3, named("threshold", threshold=1), LayerError, r"default_value: not a number: got None, .*there is no default"),
    (2, named("softmax", axis=1.0), LayerError, r"axis: not a whole number: got 1\.0"),
    (2, named("softmax", axis=[1]), LayerError, r"axis: not a whole number: got \[1\]"),
    (2, named("Softmax", axis=[]), LayerError, r"axis: an empty list: got \[\]"),
    (2, named("Softmax", axis=[1, "a"]), LayerError, r"axis: not a whole number: got \[1, 'a'\]"),
    (2, named("gelu", approximate=1), LayerError, r"approximate: not a truth value"),
    (2, named("ReLU", name=3), LayerError, r"activation: ReLU: name: not a name: got 3"),
    (2, named("ReLU", trainable=1), LayerError, r"activation: ReLU: trainable: not a truth value: got 1"),
    (2, named("ReLU", dtype=32), LayerError, r"activation: ReLU: dtype: not a type: got 32"),
    (2, named("ReLU", batch_input_shape=3), LayerError, r"ReLU: batch_input_shape: not a shape: got 3"),
    (2, named("PReLU", shared_axes=0), LayerError, r"PReLU: shared_axes: below 1: got 0"),
    (2, named("PReLU", shared_axes=[1, -1]), LayerError, r"PReLU: shared_axes: below 1: got \[1, -1\]"),
    (
        2,
        named("PReLU", alpha_initializer="x"),
        LayerError,
        r"^activation: PReLU: alpha_initializer: unknown initializer",
    ),
    (
        2,
        named("PReLU", alpha_regularizer="x"),
        LayerError,
        r"^activation: PReLU: alpha_regularizer: unknown regularizer",
    ),
    (3, named("PReLU", alpha_constraint="x"), LayerError, r"^activation: PReLU: alpha_constraint: unknown constraint"),
    (2, named("PReLU", alpha_initializer=named("Zeros", a=1)), UnknownArgument, r"Zeros has no argument of this name"),
]


@pytest.mark.parametrize(("keras", "value", "kind", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(keras, value, kind, words):
    with pytest.raises(kind, match=words) as caught:
        Activation.of(value, keras=keras)
    assert caught.value.argument == "activation"
    assert "\n" not in str(caught.value)


def test_schema_takes_what_is_read():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(ACTIVATION_SCHEMA)
    objects = [row["written"] for keras in DIALECTS for row in RECORDED[keras]["objects"]]
    names = [row["given"] for keras in DIALECTS for row in RECORDED[keras]["names"] if row["given"]]
    plain = [named(name, **GIVEN.get(name, {})) for keras in DIALECTS for name in TABLES[keras].rows]
    for value in [*objects, *names, *plain, *FORMS_3]:
        assert validator.is_valid(value), value
    for value in ["rellu", "ReLU", 3, named("relu", alfa=1), named("nope"), {"config": {}}, named("relu", name="x")]:
        assert not validator.is_valid(value), value


def test_schema_has_every_name():
    for keras in DIALECTS:
        table = TABLES[keras]
        names, *forms, function = table.schema()["anyOf"]
        assert set(names["enum"]) == {n for n in (*table.rows, *table.aliases) if table._row(n).alone}
        assert [entry["properties"]["class_name"]["enum"][0] for entry in forms] == list(table.rows)
        assert function["properties"]["class_name"]["enum"] == ["function"]


def test_parameters_of_layers():
    assert set(layer_parameters("ReLU")) == {"max_value", "negative_slope", "threshold"}
    assert set(layer_parameters("LeakyReLU")) == {"alpha", "negative_slope"}
    assert set(layer_parameters("ThresholdedReLU")) == {"theta"}
