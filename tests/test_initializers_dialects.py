"""Initializers as TensorFlow 2.4 and Keras 3 accept, write and draw them, and what making an array takes."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import objectchecks
import pytest
from objectchecks import assert_same
from recorded import cases

from conv3d_cli.errors import LayerError, ShapeError
from conv3d_cli.layers.initializers import ROWS, TABLES, Initializer

GENERATOR = {
    "module": "keras.random",
    "class_name": "SeedGenerator",
    "config": {"seed": 7, "name": "mine"},
    "registered_name": None,
}


@pytest.fixture(scope="module")
def objects():
    return objectchecks.arrays()


def with_generator(seed):
    return {"class_name": "HeNormal", "config": {"seed": {**GENERATOR, "config": {"seed": seed, "name": "mine"}}}}


@pytest.mark.parametrize("dtype", objectchecks.DTYPES)
@pytest.mark.parametrize("i", range(len(cases.INITIALIZERS)), ids=lambda i: json.dumps(cases.INITIALIZERS[i]))
@pytest.mark.parametrize("keras", objectchecks.DIALECTS)
def test_weights_of_both_dialects(keras, i, dtype, objects):
    compared = 0
    for j, shape in enumerate(cases.INITIALIZER_SHAPES):
        initializer = Initializer.of(cases.INITIALIZERS[i], keras=keras).seeded(7)
        if (want := objects.get(f"{keras}/initializer/{i}/{j}/7/{dtype}")) is not None:
            assert_same(initializer(shape, dtype), want, initializer, dtype)
            compared += 1
    # TensorFlow 2.4 has no factorization in float16.
    missing = cases.INITIALIZERS[i]["class_name"] == "Orthogonal" and (keras, dtype) == (2, "float16")
    assert compared >= (0 if missing else 2)


@pytest.mark.parametrize("dtype", objectchecks.DTYPES)
@pytest.mark.parametrize("seed", objectchecks.OBJECTS["seeds"])
def test_keras_3_takes_the_remainder_of_a_seed(seed, dtype, objects):
    drawn = {}
    for keras in objectchecks.DIALECTS:
        value = {"class_name": "RandomUniform", "config": {"seed": seed}}
        drawn[keras] = Initializer.of(value, keras=keras)((6,), dtype)
        np.testing.assert_array_equal(drawn[keras], objects[f"{keras}/seed/{seed}/{dtype}"])
    # Keras 3 also rounds the limits of uniform numbers to float32, which float64 shows.
    assert np.allclose(drawn[2], drawn[3], atol=1e-8) == (0 <= seed < 2**31 - 2)


@pytest.mark.parametrize(("keras", "number"), objectchecks.cases_of("initializers"))
def test_as_in_keras(keras, number):
    # Keras 2 keeps any seed until it draws; Keras 3 cannot make a Constant from its name.
    objectchecks.check_written(
        "initializers",
        Initializer.of,
        keras,
        number,
        stricter=[(2, with_generator(5))],
        kinder=[(3, "Constant"), (3, "constant")],
        loosely=[{"class_name": "Constant", "config": {"value": [1, 2.5]}}],
    )


@pytest.mark.parametrize("i", range(len(objectchecks.OBJECTS["axes"])))
def test_axes_of_the_fans(i, objects):
    into, out = objectchecks.OBJECTS["axes"][i]
    value = {"class_name": "HeUniform", "config": {"seed": 7, "input_axes": into, "output_axes": out}}
    initializer = Initializer.of(value, keras=3)
    np.testing.assert_array_equal(initializer(cases.INITIALIZER_SHAPES[0]), objects[f"3/axes/{i}"])
    assert initializer.refuses(5) is None


def test_axes_that_there_are_not():
    value = {"class_name": "HeUniform", "config": {"input_axes": [5], "output_axes": [0]}}
    words = r"HeUniform: input_axes: not axes of this array: got \[5\], expected -5 to 4"
    with pytest.raises(LayerError, match=words):
        Initializer.of(value, keras=3).seeded(1)((1, 1, 1, 2, 2))
    for wrong in (3, ["a"]):
        with pytest.raises(LayerError, match="input_axes: not a"):
            Initializer.of({"class_name": "HeUniform", "config": {"input_axes": wrong}}, keras=3)


def test_seed_generator_of_keras_3(objects):
    value = {"class_name": "RandomUniform", "config": {"seed": GENERATOR}}
    initializer = Initializer.of(value, keras=3)
    assert initializer.seed == 7
    np.testing.assert_array_equal(initializer((6,)), objects["3/generator"])
    unseeded = Initializer.of(with_generator(None), keras=3)
    assert unseeded.seed is None
    assert unseeded.seeded(3).seed == 3
    for config, words in [({"seed": 1.5}, "not a whole number"), (None, "not a SeedGenerator")]:
        refused = {"class_name": "HeNormal", "config": {"seed": {"class_name": "SeedGenerator", "config": config}}}
        with pytest.raises(LayerError, match=f"HeNormal: seed: {words}"):
            Initializer.of(refused, keras=3)


def test_constant_arrays_of_both_dialects(objects):
    for keras in objectchecks.DIALECTS:
        column = Initializer.of({"class_name": "Constant", "config": {"value": [[1.0], [2.0], [3.0]]}}, keras=keras)
        np.testing.assert_array_equal(column((3, 1)), objects[f"{keras}/array"])
    repeated = Initializer.of({"class_name": "Constant", "config": {"value": [1.0, 2.0]}}, keras=3)
    np.testing.assert_array_equal(repeated((2, 2)), objects["3/repeated"])
    with pytest.raises(ShapeError, match=r"wrong shape: got \(2,\), expected one that repeats to \(3,\)"):
        repeated((3,))


def test_arrays_in_configurations_of_keras_3():
    array = np.array([1.0, 2.0], "float32")
    written = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}
    for value in (array, written, {**written, "class_name": "__tensor__"}):
        constant = Initializer.of({"class_name": "Constant", "config": {"value": value}}, keras=3)
        np.testing.assert_array_equal(constant((2,)), array)
    assert Initializer.of({"class_name": "Constant", "config": {"value": array}}, keras=3).config == {"value": written}
    with pytest.raises(LayerError, match="Constant: value: not an array: got"):
        Initializer.of({"class_name": "Constant", "config": {"value": {"class_name": "list"}}}, keras=3)


def test_an_array_is_an_initializer_of_keras_3():
    array = np.arange(4.0).reshape(2, 2)
    given = Initializer.of(array, keras=3)
    made = given((2, 2), "float32")
    np.testing.assert_array_equal(made, array)
    assert made.dtype == np.float32
    assert given.written(3)["config"] == "initialize_fn"
    with pytest.raises(ShapeError, match=r"^initialize_fn: wrong shape: got \(2, 2\), expected \(4,\)"):
        given((4,))
    with pytest.raises(LayerError, match="not an initializer: got array"):
        Initializer.of(array)


def test_functions_are_taken():
    seen = []

    def my_values(shape, dtype=None):
        seen.append((shape, dtype))
        return np.full(shape, 0.5)

    given = Initializer.of(my_values)
    assert not given.random
    assert given.seed is None
    assert given.seeded(3) == given
    assert given.refuses(5) is None
    made = given((1, 2), "float32")
    assert made.dtype == np.float32
    assert made.tolist() == [[0.5, 0.5]]
    assert seen == [((1, 2), "float32")]
    assert given.written() == "my_values"
    with pytest.raises(LayerError, match=r"^words: not real numbers"):
        Initializer("words", {}, lambda shape, dtype: np.full(shape, "a"))((2,))


def test_an_object_of_the_other_dialect_is_written_in_this_one():
    two = Initializer.of({"class_name": "HeNormal", "config": {"seed": 3}})
    assert two.written(3)["config"] == {"seed": 3, "input_axes": None, "output_axes": None}
    three = Initializer.of(two.written(3), keras=3)
    assert three.written(2) == two.written(2)
    assert list(Initializer.of("random_normal", keras=3).written(3)["config"]) == ["seed", "mean", "stddev"]
    assert list(Initializer.of("random_normal").written()["config"]) == ["mean", "stddev", "seed"]


@pytest.mark.parametrize("dtype", objectchecks.DTYPES)
@pytest.mark.parametrize("name", [*ROWS, "function"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 3, 3, 2, 3), (3, 3, 3, 32, 96), (1, 1, 1, 40, 1500)], ids=str)
def test_memory_is_planned(name, shape, dtype):
    if name == "Identity":
        shape = (300, 200)
    value = {"class_name": "Constant", "config": {"value": np.zeros(shape)}} if name == "Constant" else name
    initializer = Initializer.of(np.ones if name == "function" else value).seeded(1)
    initializer(shape, dtype)
    tracemalloc.start()
    initializer(shape, dtype)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Where coverage is measured it keeps books meanwhile, in the same memory.
    assert used <= initializer.making_bytes(shape, dtype) + (1 << 16)


def test_memory_of_large_kernels():
    shape = (3, 3, 3, 256, 1024)
    size = 4 * 27 * 256 * 1024
    assert Initializer.of("zeros").making_bytes(shape) <= 2 * size
    assert Initializer.of("glorot_uniform").making_bytes(shape) <= 1.4 * size
    assert 3 * size <= Initializer.of("orthogonal").making_bytes(shape) <= 3.4 * size


@pytest.mark.parametrize("keras", objectchecks.DIALECTS)
def test_schema_has_the_names_of_each_dialect(keras):
    names = set(TABLES[keras].schema()["anyOf"][0]["enum"])
    accepted = {
        one["given"]
        for one in objectchecks.half(keras, "initializers")
        if isinstance(one["given"], str) and ("written" in one or one["given"].lower() == "constant")
    }
    assert names == accepted
