"""Every initializer against TensorFlow's weights for the same seed, and the promises that hold for all of them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import objectchecks
import pytest
from recorded import cases

from conv3d_cli.errors import LayerError, ShapeError, UnknownArgument
from conv3d_cli.layers import Conv3D, Network
from conv3d_cli.layers.initializers import ALIASES, INITIALIZERS, ROWS, TABLES, Initializer, fans, stream_seed
from conv3d_cli.layers.philox import Stream

RECORDED = Path(__file__).parent / "recorded" / "keras.npz"
DTYPES = ("float32", "float64")
EXACT = ("Zeros", "Ones", "Constant")

# Normal numbers differ in the last bits of a logarithm and a sine; orthogonal ones by a whole factorization in float32.
TOLERANCE = {
    ("normal", "float16"): 2e-3,
    ("Orthogonal", "float16"): 2e-3,
    ("normal", "float32"): 5e-7,
    ("normal", "float64"): 1e-15,
    ("Orthogonal", "float32"): 2e-6,
    ("Orthogonal", "float64"): 5e-15,
}


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as arrays:
        return dict(arrays)


def with_seed(value, seed):
    initializer = Initializer.of(value)
    return initializer.seeded(seed)


def is_uniform(initializer):
    return "Uniform" in initializer.name or initializer.config.get("distribution") == "uniform"


def assert_same(got, want, initializer, dtype):
    assert got.dtype == want.dtype == np.dtype(dtype)
    assert got.shape == want.shape
    if initializer.name in EXACT or is_uniform(initializer):
        np.testing.assert_array_equal(got, want)
        return
    scale = max(np.abs(want).max(), 1.0)
    limit = TOLERANCE["Orthogonal" if initializer.name == "Orthogonal" else "normal", dtype] * scale
    assert np.abs(got.astype(np.float64) - want).max() <= limit


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("i", range(len(cases.INITIALIZERS)), ids=lambda i: json.dumps(cases.INITIALIZERS[i]))
def test_weights_of_keras(i, dtype, recorded):
    compared = 0
    for key, want in recorded.items():
        kind, *rest = key.split("/")
        if kind != "initializer" or int(rest[0]) != i or rest[3] != dtype:
            continue
        initializer = with_seed(cases.INITIALIZERS[i], int(rest[1]))
        got = initializer(cases.INITIALIZER_SHAPES[int(rest[2])], dtype)
        assert_same(got, want, initializer, dtype)
        compared += 1
    assert compared >= 3


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
    assert used <= initializer.making_bytes(shape, dtype) + 8192


def test_memory_of_large_kernels():
    shape = (3, 3, 3, 256, 1024)
    size = 4 * 27 * 256 * 1024
    assert Initializer.of("zeros").making_bytes(shape) <= 2 * size
    assert Initializer.of("glorot_uniform").making_bytes(shape) <= 1.4 * size
    assert 3 * size <= Initializer.of("orthogonal").making_bytes(shape) <= 3.4 * size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["RandomUniform", "RandomNormal", "TruncatedNormal"])
def test_many_numbers_of_keras(name, dtype, recorded):
    initializer = with_seed({"class_name": name}, 11)
    drawn = initializer((cases.LONG,), dtype)[:: cases.STEP]
    assert_same(drawn, recorded[f"long/{name}/{dtype}"], initializer, dtype)


def test_every_row_is_recorded_or_refused():
    assert {value["class_name"] for value in cases.INITIALIZERS} | {"Identity"} == set(ROWS)


def test_moments():
    count = (200_000,)
    draws = {name: with_seed({"class_name": name}, 3)(count, "float64") for name in ("RandomNormal", "RandomUniform")}
    assert abs(draws["RandomNormal"].std() - 0.05) < 5e-4
    assert abs(draws["RandomNormal"].mean()) < 5e-4
    assert abs(draws["RandomUniform"].std() - 0.1 / np.sqrt(12)) < 5e-4
    cut = with_seed("truncated_normal", 3)(count, "float64")
    assert np.abs(cut).max() < 0.1
    assert abs(cut.std() - 0.05 * 0.87962566) < 5e-4


@pytest.mark.parametrize(
    "name", ["GlorotNormal", "HeNormal", "LecunNormal", "GlorotUniform", "HeUniform", "LecunUniform"]
)
def test_variance_of_scaled_initializers(name):
    shape = (3, 3, 3, 20, 100)
    into, out = 27 * 20, 27 * 100
    expected = {"Glo": 2 / (into + out), "HeN": 2 / into, "HeU": 2 / into, "Lec": 1 / into}[name[:3]]
    assert with_seed(name, 5)(shape, "float64").var() == pytest.approx(expected, rel=0.02)


def test_fans():
    assert fans((3, 3, 3, 2, 8)) == (54, 216)
    assert fans((8,)) == (8, 8)
    assert fans((2, 3)) == (2, 3)


@pytest.mark.parametrize("shape", [(2, 3, 2, 2, 3), (1, 1, 1, 3, 7)])
def test_orthogonal_is_orthogonal(shape):
    matrix = with_seed({"class_name": "Orthogonal", "config": {"gain": 2.0}}, 1)(shape, "float64")
    matrix = matrix.reshape(-1, shape[-1]) / 2
    small = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_constant_takes_an_array():
    values = np.arange(6.0).reshape(1, 1, 1, 2, 3)
    constant = Initializer.of({"class_name": "Constant", "config": {"value": values}})
    np.testing.assert_array_equal(constant((1, 1, 1, 2, 3)), values.astype(np.float32))
    assert json.loads(json.dumps(constant.written())) == constant.written()
    with pytest.raises(ShapeError, match=r"got 6, expected 1 or 4 for \(4,\)"):
        constant((4,))


def test_identity_is_for_matrices():
    identity = Initializer.of({"class_name": "Identity", "config": {"gain": 3.0}})
    np.testing.assert_array_equal(identity((2, 3)), [[3, 0, 0], [0, 3, 0]])
    with pytest.raises(
        LayerError, match=r"Identity cannot make this array: got 5 axes, expected a matrix \(2 axes\) only"
    ):
        identity((1, 1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"kernel_initializer: Identity cannot make"):
        Conv3D(2, 3, kernel_initializer="identity")


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases(alias):
    assert Initializer.of(alias) == Initializer.of(ALIASES[alias])


def test_none_is_glorot_uniform():
    assert Initializer.of(None) == Initializer() == Initializer.of("glorot_uniform")


@pytest.mark.parametrize("name", ROWS)
def test_written_form_means_the_same(name):
    initializer = Initializer.of(name)
    assert Initializer.of(initializer.written()) == initializer


def test_seeds():
    unseeded = Initializer.of("he_normal")
    assert unseeded.random
    assert unseeded.seed is None
    assert unseeded.seeded(3).seed == 3
    assert unseeded.seeded(3).seeded(4).seed == 3
    assert unseeded.seed is None
    assert Initializer.of("zeros").seeded(3) == Initializer.of("zeros")
    with pytest.raises(LayerError, match="HeNormal: has no seed"):
        unseeded((2, 2))


def test_unseeded_weights_follow_the_run_and_the_names():
    def kernels(seed, *names):
        network = Network([Conv3D(2, 3, name=name, bias_initializer="normal") for name in names])
        network.build(2, seed)
        return [weight for layer in network for weight in layer.get_weights()]

    first, again, other = kernels(0, "a", "b"), kernels(0, "a", "b"), kernels(1, "a", "b")
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not any(np.array_equal(x, y) for x, y in zip(first, other, strict=True))
    assert not np.array_equal(first[0], first[2])
    np.testing.assert_array_equal(kernels(0, "c", "b")[2], first[2])
    # The streams of a run must not change between versions: a report's seed has to give the same weights again.
    assert stream_seed(0, "conv3d", "kernel") == 7008891823831528384


def test_a_given_seed_is_not_touched_by_the_run():
    given = {"class_name": "HeNormal", "config": {"seed": 7}}
    first, second = (
        Conv3D(2, 3, kernel_initializer=given),
        Conv3D(2, 3, kernel_initializer=given, name="other"),
    )
    first.build(1, seed=0)
    second.build(1, seed=5)
    np.testing.assert_array_equal(first.kernel, second.kernel)


def test_streams_start_at_their_beginning():
    stream = Stream(3)
    for draw in (stream.uniform, stream.normal, stream.truncated_normal):
        np.testing.assert_array_equal(draw(7, "float32"), draw(1000, "float32")[:7])
        assert draw(0, "float64").size == 0


REFUSED = [
    (
        "glorot",
        LayerError,
        r"kernel_initializer: unknown initializer: got 'glorot', expected one of zeros, ones, constant, r",
    ),
    ("GLOROT_UNIFORM", LayerError, r"; did you mean 'glorot_uniform'\?"),
    (7, LayerError, r"not an initializer: got 7"),
    (
        {"class_name": "HeNormal", "config": {"stddev": 1}},
        UnknownArgument,
        r"HeNormal has no argument of this name",
    ),
    ({"class_name": "Zeros", "config": {"value": 1}}, UnknownArgument, r"got 'value', expected none"),
    ({"class_name": "HeNormal", "config": {"seed": 1.5}}, LayerError, r"seed: not a whole number: got 1.5"),
    ({"class_name": "HeNormal", "config": {"seed": 2**63}}, LayerError, r"seed: does not fit into 64 bits"),
    ({"class_name": "VarianceScaling", "config": {"scale": 0}}, LayerError, r"scale: not above 0: got 0"),
    (
        {"class_name": "VarianceScaling", "config": {"mode": "FAN_IN"}},
        LayerError,
        r"mode: unknown: got 'FAN_IN'",
    ),
    (
        {"class_name": "VarianceScaling", "config": {"distribution": 1}},
        LayerError,
        r"distribution: not a word",
    ),
    ({"class_name": "Constant", "config": {"value": "1"}}, LayerError, r"value: not a number: got '1'"),
    (
        {"class_name": "Constant", "config": {"value": [[1], [1, 2]]}},
        LayerError,
        r"value: not a regular array",
    ),
    (
        {"class_name": "Constant", "config": {"value": ["a"]}},
        LayerError,
        r"value: not an array of finite numbers",
    ),
    (
        {"class_name": "RandomNormal", "config": {"mean": float("nan")}},
        LayerError,
        r"mean: not a finite number",
    ),
    ({"class_name": "RandomNormal", "config": {"mean": 10**400}}, LayerError, r"mean: too large a number"),
]


@pytest.mark.parametrize(("value", "kind", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_refused(value, kind, words):
    with pytest.raises(kind, match=words) as caught:
        Initializer.of(value)
    assert caught.value.argument == "kernel_initializer"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keras", objectchecks.DIALECTS)
def test_schema_has_the_names_of_each_dialect(keras):
    names = set(TABLES[keras].schema()["anyOf"][0]["enum"])
    accepted = {
        one["given"]
        for one in objectchecks.half(keras, "initializers")
        if isinstance(one["given"], str) and ("written" in one or one["given"].lower() == "constant")
    }
    assert names == accepted


def test_schema_has_every_name():
    schema = INITIALIZERS.schema()["anyOf"]
    assert set(schema[0]["enum"]) == set(ROWS) | set(ALIASES)
    scaling = next(entry for entry in schema[1:] if "VarianceScaling" in entry["properties"]["class_name"]["enum"])
    assert scaling["properties"]["config"]["properties"]["mode"]["enum"] == ["fan_in", "fan_out", "fan_avg"]


def test_kernel_and_bias_have_numbers_of_their_own():
    layer = Conv3D(6, 1, kernel_initializer="normal", bias_initializer="normal")
    layer.build(1)
    assert not np.array_equal(layer.kernel.reshape(-1), layer.bias)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pieces_do_not_show(dtype, monkeypatch):
    stream = Stream(5)
    whole = [draw(5000, dtype) for draw in (stream.uniform, stream.normal, stream.truncated_normal)]
    monkeypatch.setattr("conv3d_cli.layers.philox.PIECE", 37)
    pieces = [draw(5000, dtype) for draw in (stream.uniform, stream.normal, stream.truncated_normal)]
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)
